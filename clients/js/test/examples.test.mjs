// The examples run as they are, and are as short as they are said to be.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { needsBrowser, openPage, root, serveFiles } from "./chromium.mjs";
import { eventually, makeSecret, needsService, snapshot, startService } from "./service.mjs";

const QUIET = ["--sim-instruments", "8", "--sim-rate", "30"];
const LINES_MAX = 30;

test("each example has at most 30 lines", async () => {
  for (const path of ["examples/browser/index.html", "examples/node/ticker.mjs"]) {
    const lines = (await readFile(join(root, path), "utf8")).trimEnd().split("\n").length;
    assert.ok(lines <= LINES_MAX, `${path} has ${lines} lines`);
  }
});

test("the page shows a live table, stale rows when the service is away, and live ones again", needsBrowser, async (t) => {
  const service = await startService(t, QUIET);
  const files = await serveFiles(t);
  const { page, problems } = await openPage(t);
  await page.goto(`${files}/examples/browser/?url=${service.url}&symbols=sim:*`);
  const rows = () => page.$$eval("#rows tr", (list) => list.map((row) => [row.className, ...[...row.cells].map((cell) => cell.textContent)]));
  // The market goes on: each symbol is compared at a moment of its own.
  const left = new Set((await snapshot(service.http, "ticker", "sim:*")).map(({ symbol }) => symbol));
  assert.equal(left.size, 8);
  await eventually(async () => {
    const shown = new Map((await rows()).map((row) => [row[1], row]));
    const wrong = [];
    for (const { symbol, last, bid, ask, volume } of await snapshot(service.http, "ticker", [...left].join(","))) {
      const row = ["", symbol, last, bid, ask, volume, "live"].map((text) => text ?? "–");
      if (isDeepStrictEqual(shown.get(symbol), row)) left.delete(symbol);
      else wrong.push([shown.get(symbol), row]);
    }
    assert.deepEqual(wrong.map(([mine]) => mine), wrong.map(([, its]) => its));
    return true;
  });
  const said = (pattern) => eventually(async () => pattern.test(await page.textContent("#connection")), String(pattern));
  await said(/^live by websocket/);
  await service.stop();
  await eventually(async () => (await rows()).every(([look, ...cells]) => look === "stale" && cells.at(-1) === "stale"));
  await said(/^reconnecting by websocket/);
  await eventually(() => Date.now() >= service.startedAt + 1000);
  await startService(t, QUIET, service.port);
  await eventually(async () => (await rows()).every(([look, ...cells]) => look === "" && cells.at(-1) === "live"));
  assert.deepEqual(problems, []);
});

test("the program for Node prints tickers, says what fails, and ends in order", needsService, async (t) => {
  const secret = await makeSecret(t);
  const service = await startService(t, [...QUIET, "--auth-secret", secret.file]);
  const child = spawn(process.execPath, [join(root, "examples/node/ticker.mjs"), service.url, "sim:S0-USD", "sim:NOPE"], {
    env: { ...process.env, TICKCAST_TOKEN: await secret.token() }, stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  t.after(() => child.kill());
  const [out, err] = [[], []];
  createInterface({ input: child.stdout }).on("line", (line) => out.push(line));
  createInterface({ input: child.stderr }).on("line", (line) => err.push(line));
  await eventually(() => out.length > 2 && err.length > 1);
  assert.match(out[0], /^sim:S0-USD +live +last [\d.]+ bid [\d.]+ ask [\d.]+$/);
  assert.deepEqual(err.sort(), ["live by websocket ", "sim:NOPE: unknown symbol (4404)"]);
  child.kill("SIGINT");
  assert.deepEqual(await ended, [0, null]);
});
