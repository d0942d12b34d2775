// The client's rule, played line by line.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Rule } from "../dist/rule.js";

/** `S1.5 applied 1.5`: a snapshot of epoch 1 at seq 5; `U1.5-7` an update from 5 to 7, with `!` of another depth; R a new connection; F forget. */
function check(lines) {
  const rule = new Rule();
  for (const line of lines.split("\n").map((text) => text.trim()).filter(Boolean)) {
    const [what, verdict, held] = line.split(/\s+/);
    if (what === "R") rule.reconnected();
    else if (what === "F") rule.forget();
    else {
      const [, kind, epoch, first, second, other] = /^([SU])(\d+)\.(\d+)(?:-(\d+))?(!)?$/.exec(what);
      const isSnapshot = kind === "S";
      const item = { symbol: "a:B", epoch: Number(epoch), seq: Number(isSnapshot ? first : second) };
      if (!isSnapshot) item.prev = Number(first);
      assert.equal(rule.judge(item, isSnapshot, other === undefined), verdict, line);
      const since = rule.since;
      assert.equal(since === undefined ? "-" : `${since.epoch}.${since.seq}`, held, line);
    }
  }
}

test("the usual course is a snapshot and updates that may overlap", () => check(`
  S1.5    applied 1.5
  U1.5-7  applied 1.7
  U1.3-6  ignored 1.7
  U1.7-7  ignored 1.7
  U1.6-7  ignored 1.7
  U1.4-9  applied 1.9
  S1.9    applied 1.9
  S1.4    applied 1.4`));

test("a gap, an unknown epoch, another depth or no snapshot mean asking again", () => check(`
  U1.0-1  gap     -
  S1.5    applied 1.5
  U1.6-7  gap     1.5
  U1.5-7! gap     1.5
  U2.1-2  gap     1.5
  U2.9-10 gap     1.5
  S2.1    applied 2.1
  F
  U2.1-2  gap     -
  U2.0-2  gap     -
  S2.0    applied 2.0
  U2.0-1  applied 2.1`));

test("an older epoch is ignored within one connection only", () => check(`
  S2.5    applied 2.5
  S1.9    ignored 2.5
  U1.4-9  ignored 2.5
  U3.1-2  gap     2.5
  S2.6    ignored 2.5
  S3.2    applied 3.2
  R
  U3.2-4  applied 3.4
  R
  U2.1-2  gap     3.4
  S1.1    ignored 3.4
  R
  S1.1    applied 1.1
  U1.1-2  applied 1.2`));
