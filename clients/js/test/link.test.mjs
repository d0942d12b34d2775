// The link in trouble: blocked WebSockets, silence, refusals, a service that goes away or talks nonsense.

import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { connect, now } from "../dist/index.js";
import { startProxy } from "./proxy.mjs";
import { startScript } from "./script.mjs";
import { event, eventually, needsService, startService } from "./service.mjs";

const SOON = { base: 20, max: 100 };
/** Timers count whole milliseconds, and may be early by one. */
const TIMER_MS = 2;
const timeout = { timeout: 300_000 };

function open(t, url, options = {}) {
  const tick = connect(url, { backoffMs: SOON, ...options });
  t.after(() => tick.close());
  return tick;
}

/** Behind a proxy with that obstacle event streams serve. */
async function streams(t, obstacle) {
  const service = await startService(t, ["--sim-instruments", "5"]);
  const proxy = await startProxy(t, service.port);
  proxy[obstacle] = true;
  const tick = open(t, proxy.url);
  const sub = tick.ticker("sim:*", { maxRate: 4 });
  await eventually(() => sub.size === 5 && tick.connection.state === "live");
  assert.equal(tick.connection.transport, "sse");
  assert.equal(proxy.upgrades, 3);
  return { proxy, tick, sub };
}

test("where WebSockets are blocked event streams serve, and WebSockets again when they open", needsService, async (t) => {
  const { proxy, tick, sub } = await streams(t, "blocksWebSockets");
  // It is lost, and still blocked: one try is enough to know.
  proxy.cut();
  await event(tick, "connection", ({ state }) => state === "reconnecting");
  await event(tick, "connection", ({ state }) => state === "live");
  assert.deepEqual([tick.connection.transport, proxy.upgrades], ["sse", 4]);
  await eventually(() => [...sub.values()].every(({ state }) => state === "live"), "the streams are open again");
  proxy.blocksWebSockets = false;
  proxy.cut();
  await event(tick, "connection", ({ state, transport }) => state === "live" && transport === "websocket");
  await eventually(() => [...sub.values()].every(({ state }) => state === "live"));
});

test("where WebSockets open and nothing comes through event streams serve", needsService, async (t) => {
  await streams(t, "swallowsWebSockets");
});

test("a service that is away does not pass for blocked WebSockets", needsService, async (t) => {
  const service = await startService(t, ["--sim-instruments", "5"]);
  const tick = open(t, service.url);
  await event(tick, "connection", ({ state }) => state === "live");
  await service.stop();
  let tries = 0;
  tick.on("connection", ({ attempt }) => { tries = attempt; });
  await eventually(() => tries > 4, "five tries");
  await startService(t, ["--sim-instruments", "5"], service.port);
  await eventually(() => tick.connection.state === "live");
  assert.equal(tick.connection.transport, "websocket");
});

test("with a given class, with none, and only over WebSockets", needsService, async (t) => {
  const service = await startService(t, ["--sim-instruments", "5"]);
  let made = 0;
  class Counted extends WebSocket {
    constructor(...values) {
      super(...values);
      made += 1;
    }
  }
  const tick = open(t, service.url, { WebSocket: Counted });
  await event(tick, "connection", ({ state }) => state === "live");
  assert.equal(made, 1);
  const refused = open(t, "ws://127.0.0.1:1", { transport: "websocket" });
  await event(refused, "connection", ({ attempt }) => attempt === 4);
  assert.deepEqual([refused.connection.transport, refused.connection.state], ["websocket", "reconnecting"]);
});

test("a line that falls silent is dead", timeout, async (t) => {
  const script = await startScript(t, (line) => line.welcome({ heartbeat_ms: 50 }));
  const tick = open(t, script.url);
  await event(tick, "connection", ({ state }) => state === "live");
  const [info] = await event(tick, "connection", ({ state }) => state === "reconnecting");
  assert.match(info.reason.text, /^nothing heard for \d+ ms$/);
  await event(tick, "connection", ({ state }) => state === "live");
  assert.equal(script.openedAt.length, 2);
});

test("a line whose heartbeats come lives on", timeout, async (t) => {
  const script = await startScript(t, (line) => {
    line.welcome({ heartbeat_ms: 50 });
    const beat = setInterval(() => line.say({ channel: "heartbeat", ts_publish: 1 }), 50);
    line.socket.on("close", () => clearInterval(beat));
  });
  const tick = open(t, script.url);
  await eventually(() => tick.connection.messages > 12);
  assert.deepEqual([tick.connection.state, script.openedAt.length], ["live", 1]);
});

test("45xx: it comes back, later each time; 44xx: it stops and says why", timeout, async (t) => {
  const script = await startScript(t, (line, number) => {
    if (number < 5) line.socket.close(4503, "overloaded");
    else if (number === 5) line.welcome();
    else line.socket.close(4413, "too many of you");
    if (number === 5) line.heard("ping", () => line.socket.close(4508, "no progress"));
  });
  const waits = [];
  const tick = open(t, script.url, { backoffMs: { base: 40, max: 160 } });
  tick.on("connection", ({ nextAttemptAt }) => nextAttemptAt !== undefined && waits.push(nextAttemptAt - now()));
  tick.ticker("a:B");
  const [error] = await event(tick, "error");
  assert.deepEqual([error.name, error.code, error.message], ["TickcastError", 4413, "closed with 4413: too many of you"]);
  assert.deepEqual([tick.connection.state, tick.connection.reason.code], ["closed", 4413]);
  assert.equal(waits.length, 5);
  assert.equal(script.openedAt.length, 6);
  for (const [i, most] of [40, 80, 160, 160, 160].entries()) {
    assert.ok(waits[i] <= most, `wait ${i}: ${waits[i]}`);
    // Whatever holds us up makes what is left when we look shorter, and the time until the next one longer.
    const waited = script.openedAt[i + 1] - script.openedAt[i];
    assert.ok(waited >= most / 2 - TIMER_MS, `${waited} ms until try ${i + 2}`);
  }
});

test("who is lost after a goaway comes back when its delay has passed, not earlier", timeout, async (t) => {
  let told;
  const script = await startScript(t, (line, number) => {
    line.welcome();
    line.serve();
    if (number > 1) return;
    line.heard("ping", () => {
      told = now();
      line.say({ channel: "system", type: "goaway", data: [{ reconnect_after_ms: 400, reason: "drain" }] });
      line.say({ channel: "novelty", type: "update", data: [{ symbol: "a:B" }] });
      line.socket.close(1001);
    });
  });
  const tick = open(t, script.url);
  const sub = tick.ticker("a:B");
  await eventually(() => script.openedAt.length === 2);
  assert.ok(script.openedAt[1] - told >= 400 - TIMER_MS, `${script.openedAt[1] - told} ms`);
  await eventually(() => sub.get("a:B")?.state === "live");
  assert.equal(tick.connection.goaway, undefined);
});

test("a service that does not close when it said so is left", timeout, async (t) => {
  const script = await startScript(t, (line, number) => {
    line.welcome();
    if (number === 1) line.heard("ping", () => line.say({ channel: "system", type: "goaway", data: [{ reconnect_after_ms: 100, reason: "drain" }] }));
  });
  const tick = open(t, script.url);
  await eventually(() => script.openedAt.length === 2 && tick.connection.state === "live");
});

test("what cannot be read drops the line, not the application", timeout, async (t) => {
  const script = await startScript(t, (line, number) => {
    line.welcome();
    if (number === 1) line.heard("ping", () => line.say('{"channel":"ticker","type":'));
    else line.serve();
  });
  const tick = open(t, script.url);
  const sub = tick.ticker("a:B");
  const [info] = await event(tick, "connection", ({ state }) => state === "reconnecting");
  assert.match(info.reason.text, /a message that cannot be read/);
  await eventually(() => sub.size === 1);
});

test("a token's callback that fails is asked again", timeout, async (t) => {
  const script = await startScript(t, (line) => {
    line.welcome({ auth_required: true });
    line.heard("auth", ({ req_id, params }) => line.say({ method: "auth", req_id, success: true,
      result: { sub: params.token, expires: Math.floor(Date.now() / 1000) + 3600, limits: {} } }));
  });
  let asked = 0;
  const reasons = [];
  const tick = connect(script.url, { backoffMs: SOON, token: () => { if (++asked < 3) throw new Error("offline"); return "good"; } });
  t.after(() => tick.close());
  tick.on("connection", ({ reason }) => reason && reasons.push(reason.text));
  await event(tick, "connection", ({ state }) => state === "live");
  assert.equal(asked, 3);
  assert.deepEqual([...new Set(reasons)], ["token: offline"]);
});

test("after 4401 a callback is asked once for another token, then it stops", timeout, async (t) => {
  const script = await startScript(t, (line) => {
    line.welcome({ auth_required: true });
    line.heard("auth", ({ req_id }) => {
      line.say({ method: "auth", req_id, success: false, code: 4401, error: "the token has been revoked" });
      line.socket.close(4401, "the token has been revoked");
    });
  });
  let asked = 0;
  const tick = open(t, script.url, { token: () => `t${++asked}` });
  const [error] = await event(tick, "error");
  assert.deepEqual([error.code, error.message, asked, script.openedAt.length], [4401, "the token has been revoked", 2, 2]);
});

test("what a listener throws harms nobody else", timeout, async (t) => {
  const script = await startScript(t, (line) => {
    line.welcome();
    line.serve();
  });
  const thrown = [];
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error.message));
  t.after(() => {
    process.removeAllListeners("uncaughtException");
    before.forEach((listener) => process.on("uncaughtException", listener));
  });
  const tick = open(t, script.url);
  const sub = tick.ticker("a:B", () => { throw new Error("mine"); });
  await event(sub, "update");
  await eventually(() => thrown.length > 0);
  assert.deepEqual([thrown[0], tick.connection.state, sub.size], ["mine", "live", 1]);
});
