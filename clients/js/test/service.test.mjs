// Against the real service: what is held is what it says, over WebSocket and event streams.

import assert from "node:assert/strict";
import { test } from "node:test";
import { itemOf } from "../conformance/items.mjs";
import { connect, now } from "../dist/index.js";
import { event, eventually, makeSecret, needsService, snapshot, startService } from "./service.mjs";

const QUIET = ["--sim-instruments", "5", "--sim-rate", "40"];
const BACKOFF = { base: 50, max: 300 };

function open(t, url, options = {}) {
  const tick = connect(url, { backoffMs: BACKOFF, verifyChecksums: true, ...options });
  t.after(() => tick.close());
  return tick;
}

/** A service keeps the latest trades and bars only; of them the SDK holds as many or more. */
function cut(channel, mine, its) {
  const list = channel === "trades" || channel === "bars" ? channel : undefined;
  return list === undefined ? mine : { ...mine, [list]: mine[list].slice(-its[list].length || mine[list].length) };
}

/** Waits, for each symbol, for a moment in which what is held is just what the service says. */
async function agrees(http, sub, symbols, more) {
  for (const symbol of symbols) {
    await eventually(async () => {
      const [{ ts_publish: _, ...its }] = await snapshot(http, sub.channel, symbol, more);
      const view = sub.get(symbol);
      assert.ok(view, `${symbol} is held`);
      assert.deepEqual(cut(sub.channel, itemOf(sub.channel, view), its), its);
      return true;
    });
  }
}

const SYMBOLS = ["sim:S0-USD", "sim:S1-USD"];
function subscribeAll(tick) {
  return [
    [tick.ticker("sim:*"), ""], [tick.trades(SYMBOLS), ""], [tick.book(SYMBOLS, { depth: 25 }), "&depth=25"],
    [tick.bars(SYMBOLS, { interval: "1s" }), "&interval=1s"],
  ];
}

for (const transport of ["websocket", "sse"]) {
  test(`all channels agree with /v1/snapshot over ${transport}`, needsService, async (t) => {
    const service = await startService(t, QUIET);
    const tick = open(t, service.url, { transport });
    for (const [sub, more] of subscribeAll(tick)) await agrees(service.http, sub, SYMBOLS, more);
    const { connection } = tick;
    assert.deepEqual([connection.state, connection.transport, connection.encoding], ["live", transport, "json"]);
    assert.deepEqual([connection.resyncs, connection.checksumFailures, connection.missedTrades, connection.reconnects], [0, 0, 0, 0]);
    assert.ok(connection.bytes > connection.messages && connection.messages > 0);
    assert.equal(tick.status("sim:S0-USD"), "live");
  });

  test(`a killed service is noticed and come back to over ${transport}`, needsService, async (t) => {
    const first = await startService(t, [...QUIET, "--sim-seed", "1"]);
    const tick = open(t, first.url, { transport });
    const subs = subscribeAll(tick);
    for (const [sub, more] of subs) await agrees(first.http, sub, SYMBOLS, more);
    const states = [];
    tick.on("connection", ({ state }) => states.at(-1) !== state && states.push(state));
    const stale = event(subs[0][0], "update", (view) => view.state === "stale");
    await first.stop();
    assert.equal((await stale)[0].stale, true);
    assert.equal(tick.connection.state, "reconnecting");
    await eventually(() => tick.connection.nextAttemptAt > now(), "a next try");
    assert.ok(tick.connection.reason.text.length > 0);
    assert.equal(tick.status("sim:S0-USD"), "stale");
    for (const [sub] of subs) assert.ok([...sub.values()].every((view) => view.state === "stale"));
    // A service that starts in the same second would count its epochs from the same number.
    await eventually(() => Date.now() >= first.startedAt + 1000);
    const second = await startService(t, [...QUIET, "--sim-seed", "2"], first.port);
    for (const [sub, more] of subs) await agrees(second.http, sub, SYMBOLS, more);
    assert.ok([...subs[0][0].values()].every((view) => view.state === "live"));
    assert.deepEqual(states, ["reconnecting", "live"]);
    assert.equal(tick.connection.reconnects, 1);
  });
}

test("a connection that is cut goes on where it was", needsService, async (t) => {
  const service = await startService(t, QUIET);
  const tick = open(t, service.url);
  const trades = tick.trades(SYMBOLS);
  const ticker = tick.ticker("sim:*");
  await eventually(() => trades.size === 2 && ticker.size === 5);
  const types = [];
  tick.on("message", ({ channel, type }) => channel === "ticker" && types.push(type));
  tick.reconnect();
  assert.equal(tick.connection.state, "reconnecting");
  assert.equal(ticker.get("sim:S0-USD").state, "stale");
  await eventually(() => [...ticker.values(), ...trades.values()].every(({ state }) => state === "live"), "live again");
  assert.ok(types.length > 0 && !types.includes("snapshot"), "only what changed was sent");
  await agrees(service.http, trades, SYMBOLS, "");
  assert.deepEqual([tick.connection.missedTrades, tick.connection.reconnects], [0, 1]);
});

test("failed symbols, bare names, globs and rates are told", needsService, async (t) => {
  const service = await startService(t, QUIET);
  for (const transport of ["websocket", "sse"]) {
    const tick = open(t, service.url, { transport });
    const sub = tick.ticker(["S0-USD", "sim:NOPE", "sim:S1*"], { maxRate: 5, fields: ["bid", "ask"] });
    const [symbol, { code }] = await event(sub, "failed");
    assert.deepEqual([symbol, code], ["sim:NOPE", 4404]);
    const [granted] = sub.granted !== undefined ? [sub.granted] : await event(sub, "granted");
    assert.deepEqual([granted.maxRate, granted.fields, granted.globs], [4, ["bid", "ask"], [{ pattern: "sim:S1*", matched: 1 }]]);
    await eventually(() => sub.size === 2);
    assert.deepEqual([...sub.failed.keys()], ["sim:NOPE"]);
    assert.equal(sub.get("S0-USD").symbol, "sim:S0-USD");
    assert.equal(sub.get("S0-USD").last, undefined);
    const faults = [];
    tick.on("error", (error) => faults.push([error.name, error.code, error.message]));
    tick.book("sim:NEITHER");
    await eventually(() => faults.length > 0);
    assert.deepEqual(faults[0].slice(0, 2), ["TickcastError", 4404]);
    assert.match(faults[0][2], /book of "sim:NEITHER": .*unknown/);
  }
});

test("options change in place, and what is closed is not sent any more", needsService, async (t) => {
  const service = await startService(t, ["--sim-instruments", "5", "--sim-rate", "500"]);
  const tick = open(t, service.url);
  const sub = tick.ticker("sim:*");
  await eventually(() => sub.size === 5);
  assert.equal(sub.granted.maxRate, undefined);
  const granted = event(sub, "granted");
  sub.change({ maxRate: 1 });
  assert.equal((await granted)[0].maxRate, 1);
  assert.equal(sub.options.maxRate, 1);
  const other = tick.book("sim:S0-USD", { depth: 10 });
  await eventually(() => other.size === 1);
  other.change({ depth: 25 });
  await agrees(service.http, other, ["sim:S0-USD"], "&depth=25");
  sub.close();
  other.close();
  await eventually(async () => (await tick.stats()).subscriptions === 0, "no subscription");
  assert.equal(sub.size, 0);
});

test("iterators, frames and events tell what changes", needsService, async (t) => {
  const service = await startService(t, ["--sim-instruments", "5", "--sim-rate", "500"]);
  const tick = open(t, service.url);
  const sub = tick.ticker("sim:*", { maxRate: 10 });
  let seen = 0;
  for await (const view of sub) {
    assert.ok(view.symbol.startsWith("sim:"));
    if (++seen === 20) break;
  }
  const batch = await new Promise((resolve) => {
    const end = sub.onFrame((changed) => { end(); resolve(changed); });
  });
  assert.ok(batch.size > 0 && [...batch].every((view) => sub.get(view.symbol) === view));
  const ended = (async () => { let count = 0; for await (const _ of sub) count += 1; return count; })();
  await event(sub, "update");
  sub.close();
  assert.ok(await ended > 0);
  const stats = await tick.stats();
  assert.ok(stats.sentMessages > 0 && stats.sentBytes > 0 && stats.lagging === false && stats.connectedUs > 0);
  await eventually(() => tick.connection.rttUs > 0, "a ping");
  assert.ok(Math.abs(tick.connection.clockOffsetUs) < 5_000_000);
});

test("REST gives instruments and snapshots, and its refusals are errors", needsService, async (t) => {
  const service = await startService(t, QUIET);
  const tick = open(t, service.http);
  await eventually(async () => (await tick.instruments()).every(({ state }) => state === "live"));
  const instruments = await tick.instruments("sim:S1*");
  assert.deepEqual(instruments.map(({ symbol, venue, state }) => [symbol, venue, state]), [["sim:S1-USD", "sim", "live"]]);
  assert.match(instruments[0].tickSize, /^0?\.?\d+$|^\d+(\.\d+)?$/);
  assert.equal((await tick.instruments()).length, 5);
  const [book] = await tick.snapshot("book", "sim:S0-USD", { depth: 25 });
  assert.deepEqual([book.symbol, book.depth], ["sim:S0-USD", 25]);
  await assert.rejects(tick.snapshot("ticker", ["sim:NOPE"]), { name: "TickcastError", code: 4404 });
  await assert.rejects(tick.snapshot("ticker", []), { code: 4400 });
});

test("a service that drains is left when it says, and come back to", needsService, async (t) => {
  const service = await startService(t, [...QUIET, "--drain-window", "1s"]);
  for (const transport of ["websocket", "sse"]) {
    const drained = transport === "websocket" ? service : await startService(t, [...QUIET, "--drain-window", "1s"]);
    const tick = open(t, drained.url, { transport });
    const sub = tick.ticker("sim:*");
    await eventually(() => sub.size === 5);
    // By our clock at these very moments: whatever is told may have been on its way for long.
    let delay;
    let lostAt;
    tick.on("connection", ({ state, goaway }) => {
      if (goaway !== undefined) delay ??= { state, reason: goaway.reason, ms: goaway.closesAt - now() };
      if (state === "reconnecting") lostAt ??= now();
    });
    const begun = now();
    drained.child.kill("SIGTERM");
    await eventually(() => lostAt !== undefined, "the end");
    assert.deepEqual([delay.state, delay.reason], ["live", "drain"]);
    assert.ok(lostAt - begun > delay.ms - 50, `${transport}: it was served until its delay had passed`);
    await drained.stop("SIGTERM");
    await startService(t, QUIET, drained.port);
    await eventually(() => tick.connection.state === "live" && [...sub.values()].every((view) => view.state === "live"));
  }
});

test("tokens are shown in band, and say what may be received", needsService, async (t) => {
  const secret = await makeSecret(t);
  const service = await startService(t, [...QUIET, "--auth-secret", secret.file]);
  const token = await secret.token("--sub", "desk-7", "--entitlement", "sim:S0-USD/ticker");
  for (const transport of ["websocket", "sse"]) {
    const tick = open(t, service.url, { transport, token });
    const sub = tick.ticker(["sim:S0-USD", "sim:S1-USD"]);
    const [symbol, { code }] = await event(sub, "failed");
    assert.deepEqual([symbol, code], ["sim:S1-USD", 4403]);
    await eventually(() => sub.get("sim:S0-USD")?.state === "live");
    assert.equal((await tick.instruments()).length, 1);
    tick.close();
  }
  // Without one, and with a bad one, it stops and says why.
  for (const [bad, more] of [[undefined, /give options\.token/], ["nonsense", /token/]]) {
    const tick = open(t, service.url, { transport: "websocket", token: bad });
    const sub = tick.ticker("sim:S0-USD");
    const [[error], [info]] = await Promise.all([event(tick, "error"), event(tick, "connection", ({ state }) => state === "closed")]);
    assert.deepEqual([error.code, info.reason.code], [4401, 4401]);
    assert.match(error.message, more);
    await assert.rejects(sub[Symbol.asyncIterator]().next(), { code: 4401 });
    await assert.rejects(tick.stats(), /no WebSocket that is live \(closed\)/);
  }
});

test("a callback is asked for a new token before the old one ends, and once after a refusal", needsService, async (t) => {
  const secret = await makeSecret(t);
  const service = await startService(t, [...QUIET, "--auth-secret", secret.file]);
  /** How the connection was each time that the callback was asked. */
  const asked = [];
  let tick;
  tick = open(t, service.url, {
    transport: "websocket",
    token: async () => {
      asked.push(tick === undefined ? "connecting" : `${tick.connection.state} ${tick.connection.reconnects}`);
      return asked.length === 1 ? "expired long ago" : secret.token("--sub", "desk-7", "--expires", asked.length === 2 ? "10s" : "4s");
    },
  });
  const sub = tick.ticker("sim:S0-USD");
  await eventually(() => sub.get("sim:S0-USD")?.state === "live");
  assert.equal(asked.length, 2);
  // Twice in a row on one live connection: the first renewal has kept it. Who is held up for longer
  // than a token lives is cut off, comes back and renews again.
  await eventually(() => asked.some((how, at) => how.startsWith("live ") && how === asked[at - 1]), "renewals on the connection");
  // The streams of events of a token that has expired are opened again with a new one.
  const streams = open(t, service.url, { transport: "sse", token: () => secret.token("--expires", "3s") });
  const ticker = streams.ticker("sim:S0-USD");
  await eventually(() => ticker.get("sim:S0-USD")?.state === "live" && streams.connection.reconnects >= 2, "two renewals");
});

test("rights come and go with a new token", needsService, async (t) => {
  const secret = await makeSecret(t);
  const service = await startService(t, [...QUIET, "--auth-secret", secret.file]);
  let rights = ["sim:S0-USD/ticker"];
  const tick = open(t, service.url, {
    transport: "websocket",
    token: () => secret.token("--expires", "6s", ...rights.flatMap((one) => ["--entitlement", one])),
  });
  const sub = tick.ticker(["sim:S0-USD", "sim:S1-USD"]);
  await eventually(() => sub.failed.get("sim:S1-USD")?.code === 4403 && sub.get("sim:S0-USD")?.state === "live");
  const hasKept = [];
  const change = async (entitlements, isSo) => {
    const { reconnects } = tick.connection;
    rights = entitlements;
    await eventually(isSo);
    hasKept.push(tick.connection.reconnects === reconnects);
  };
  await change(["sim:S0-USD/ticker", "sim:S1-USD/ticker"], () => sub.failed.size === 0 && sub.get("sim:S1-USD")?.state === "live");
  await change(["sim:S1-USD/ticker"], () => sub.failed.get("sim:S0-USD")?.code === 4403 && sub.get("sim:S0-USD") === undefined);
  assert.equal(sub.size, 1);
  // Who is held up for longer than a token lives is cut off, and comes back with the next one.
  assert.ok(hasKept.includes(true), "it goes on the same connection");
});

test("a connection that its service has closed for good can be begun again", needsService, async (t) => {
  const secret = await makeSecret(t);
  const service = await startService(t, [...QUIET, "--auth-secret", secret.file]);
  let token = () => "bad";
  const tick = open(t, service.url, { token: () => token() });
  const sub = tick.ticker("sim:S0-USD");
  await event(tick, "connection", ({ state }) => state === "closed");
  const good = await secret.token();
  token = () => good;
  tick.reconnect();
  await eventually(() => sub.get("sim:S0-USD")?.state === "live");
});

test("a token for a service that takes none is no obstacle, and is told", needsService, async (t) => {
  const service = await startService(t, QUIET);
  const tick = open(t, service.url, { token: "of no use" });
  const sub = tick.ticker("sim:S0-USD");
  assert.match((await event(tick, "error"))[0].message, /takes no tokens/);
  await eventually(() => sub.size === 1);
});

test("a signal closes the connection, and nothing goes on", needsService, async (t) => {
  const service = await startService(t, QUIET);
  const abort = new AbortController();
  const tick = connect(service.url, { signal: abort.signal });
  const sub = tick.ticker("sim:*");
  await eventually(() => sub.size > 0);
  abort.abort();
  assert.deepEqual([tick.connection.state, sub.closed, sub.size], ["closed", true, 0]);
  assert.throws(() => tick.ticker("sim:*"), /the connection is closed/);
  assert.throws(() => tick.reconnect(), /the connection is closed/);
  assert.equal(connect(service.url, { signal: abort.signal }).connection.state, "closed");
});
