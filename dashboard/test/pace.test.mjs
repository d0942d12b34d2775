// The slow link's waits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { OWED_MS_MAX, Pace, WAIT_MS_MAX } from "../.test/pace.js";

/** Reads messages as they come out of a socket that is full; answers the time at the end. */
function read(pace, sizes, speed, begin) {
  return sizes.reduce((now, size) => now + pace.wait(size, speed, now), begin);
}

test("what is read comes at the speed of the line", () => {
  const took = read(new Pace(), Array(1_000).fill(100), 10_000, 0);
  assert.ok(Math.abs(took - 10_000) <= 60, `${took} ms for 100 kB at 10 kB/s`);
});

test("no wait is long, what is left is waited for after the next messages, and it has a maximum", () => {
  const pace = new Pace();
  assert.equal(pace.wait(10_000_000, 16_000, 0), WAIT_MS_MAX);
  let now = WAIT_MS_MAX;
  let waits = 1;
  for (let wait; (wait = pace.wait(1, 16_000, now)) > 0; waits += 1) {
    assert.ok(wait <= WAIT_MS_MAX);
    now += wait;
  }
  assert.ok(waits > 4 && Math.abs(now - OWED_MS_MAX) < 60, `${waits} waits in ${now} ms`);
});

test("time without messages frees the line", () => {
  const pace = new Pace();
  pace.wait(10_000, 10_000, 0);
  assert.equal(pace.wait(20, 10_000, 5_000), 0);
});
