// The small parts: patterns, decimals, checksum, options, addresses, back-off, events, iterators.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Address } from "../dist/address.js";
import { Backoff } from "../dist/backoff.js";
import { bookChecksum } from "../dist/checksum.js";
import { ClockOffset } from "../dist/clock.js";
import { compareDecimals } from "../dist/decimal.js";
import { Batch, Frames } from "../dist/frames.js";
import { Changes } from "../dist/iterator.js";
import { checkConnectOptions, readOptions } from "../dist/options.js";
import { checkSome, matches, readPatterns } from "../dist/pattern.js";
import { EventParser } from "../dist/sse-parser.js";
import { endOf, renewalIn, Tokens } from "../dist/tokens.js";

test("globs match whole names, bare symbols any venue", () => {
  for (const [pattern, symbol, expected] of [
    ["kraken:*", "kraken:BTC-USD", true], ["kraken:*", "xkraken:BTC-USD", false], ["*", "kraken:BTC-USD", true],
    ["*USD", "kraken:BTC-USD", true], ["*USD", "kraken:BTC-USDT", false], ["k*:B*-U*", "kraken:BTC-USD", true],
    ["*a*a*", "bab", false], ["*a*a*", "baab", true], ["aa*aa", "aaa", false], ["a**b", "ab", true],
    ["BTC-USD", "kraken:BTC-USD", true], ["USD", "kraken:BTC-USD", false], ["kraken:BTC-USD", "kraken:BTC-USD", true],
    ["sim:S1-USD", "sim:S10-USD", false], ["*x*y", "axy", true], ["*xy*y", "axy", false],
  ]) {
    assert.equal(matches(pattern, symbol), expected, `${pattern} ${symbol}`);
  }
});

test("symbols that the service would refuse are named", () => {
  assert.deepEqual(readPatterns(["a:B", "a:B", "c:*"]), ["a:B", "c:*"]);
  assert.deepEqual(readPatterns("a:B"), ["a:B"]);
  assert.deepEqual(readPatterns([]), []);
  assert.throws(() => readPatterns([""]), { name: "TypeError", message: "symbols[0]: empty" });
  assert.throws(() => readPatterns(["a", 7]), { message: "symbols[1]: 7 is not a string" });
  assert.throws(() => readPatterns("*".repeat(9)), { message: 'symbols[0]: "*********" has more than 8 *' });
  assert.throws(() => readPatterns("é".repeat(65)), /symbols\[0\]: ".*" is longer than 128 bytes/);
  assert.throws(() => checkSome([]), { name: "TypeError", message: 'symbols: the list is empty; give at least one name or pattern, such as "sim:*"' });
  assert.throws(() => readPatterns(undefined), { message: "symbols: undefined is not a string or an array of strings" });
});

test("decimals are compared as numbers without becoming any", () => {
  const ascending = ["-100.50", "-99.75", "-0.25", "0.00", "0.25", "9.99", "10.00", "99.00", "100.00", "10000000000000000.01", "10000000000000000.02"];
  for (const [i, a] of ascending.entries()) {
    for (const [j, b] of ascending.entries()) {
      assert.equal(Math.sign(compareDecimals(a, b)) + 0, Math.sign(i - j), `${a} ${b}`);
    }
  }
});

// Kraken's own worked example: docs.kraken.com, "Spot WebSockets (v2): book checksum".
const ASKS = [["45285.2", "0.00100000"], ["45286.4", "1.54571953"], ["45286.6", "1.54571109"], ["45289.6", "1.54560911"],
  ["45290.2", "0.15890660"], ["45291.8", "1.54553491"], ["45294.7", "0.04454749"], ["45296.1", "0.35380000"],
  ["45297.5", "0.09945542"], ["45299.5", "0.18772827"]];
const BIDS = [["45283.5", "0.10000000"], ["45283.4", "1.54582015"], ["45282.1", "0.10000000"], ["45281.0", "0.10000000"],
  ["45280.3", "1.54592586"], ["45279.0", "0.07990000"], ["45277.6", "0.03310103"], ["45277.5", "0.30000000"],
  ["45277.3", "1.54602737"], ["45276.6", "0.15445238"]];

test("the checksum is Kraken's, over ten levels a side", () => {
  assert.equal(bookChecksum(BIDS, ASKS), 3310070434);
  assert.equal(bookChecksum([...BIDS, ["1.0", "1"]], [...ASKS, ["99999.0", "1"]]), 3310070434);
  assert.notEqual(bookChecksum(BIDS.slice(1), ASKS), 3310070434);
  assert.equal(bookChecksum([], []), 0);
});

test("options are read strictly", () => {
  assert.deepEqual(readOptions("ticker", { maxRate: 5, fields: ["bidSize", "last"] }).wire, { max_rate: 5, fields: ["last", "bid_size"] });
  assert.deepEqual(readOptions("bars", {}).wire, { interval: "1m" });
  assert.deepEqual(readOptions("trades", { snapshot: false, keep: 9 }), { wire: { snapshot: false }, keep: 9 });
  assert.deepEqual(readOptions("book", { depth: 25, maxRate: undefined }).wire, { depth: 25 });
  for (const [channel, options, message] of [
    ["ticker", { max_rate: 5 }, "options.max_rate: no option of ticker; known are maxRate, fields"],
    ["ticker", { maxRate: NaN }, "options.maxRate: NaN is not a number above 0"],
    ["ticker", { fields: [] }, "options.fields:  is not an array of at least one field"],
    ["ticker", { fields: ["last_size"] }, /options\.fields\[0\]: "last_size" is not one of last, lastSize, bid/],
    ["book", { depth: 11 }, "options.depth: 11 is not one of 10, 25, 100, 500"],
    ["bars", { interval: "2m" }, 'options.interval: "2m" is not one of 1s, 1m, 5m, 1h'],
    ["trades", { keep: 0 }, "options.keep: 0 is not an integer from 1 to 10000"],
  ]) {
    assert.throws(() => readOptions(channel, options), { name: "TypeError", message });
  }
});

test("the options of a connection are read strictly", () => {
  for (const options of [{}, { encoding: "json", token: undefined, transport: "sse", verifyChecksums: true, backoffMs: {} },
    { encoding: { name: "x", subprotocol: "x", connection() {} } }]) assert.doesNotThrow(() => checkConnectOptions(options));
  for (const [options, message] of [
    [{ tokn: "x" }, /^options\.tokn: no option of connect; known are token, encoding/],
    [{ encoding: "protobuf" }, 'options.encoding: "protobuf" is not "json" or the protobuf of tickcast/protobuf'],
    [{ encoding: null }, /^options\.encoding: null is not/],
    [{ transport: "x" }, 'options.transport: "x" is not one of auto, websocket, sse'],
    [{ verifyChecksums: "no" }, 'options.verifyChecksums: "no" is not true or false'],
    [{ backoffMs: 5 }, "options.backoffMs: 5 is not an object with base and max"],
  ]) assert.throws(() => checkConnectOptions(options), { name: "TypeError", message });
});

test("an address is taken in any of four schemes", () => {
  for (const [url, http, webSocket] of [
    ["ws://127.0.0.1:8080", "http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/ws"],
    ["https://ticks.example/", "https://ticks.example", "wss://ticks.example/v1/ws"],
    ["wss://ticks.example/feed/v1/ws", "https://ticks.example/feed", "wss://ticks.example/feed/v1/ws"],
    ["http://[::1]:9/v1/ws/", "http://[::1]:9", "ws://[::1]:9/v1/ws"],
  ]) {
    const address = new Address(url);
    assert.deepEqual([address.http, address.webSocket], [http, webSocket], url);
  }
  assert.throws(() => new Address("nonsense"), { message: 'url: "nonsense" is not an address such as ws://127.0.0.1:8080' });
  assert.throws(() => new Address("ftp://a"), { message: 'url: "ftp://a" begins with none of ws, wss, http, https' });
  assert.throws(() => new Address("ws://a/?token=x"), /has a query; a token goes into options.token/);
});

test("back-off doubles up to its maximum and is drawn from the upper half", () => {
  const high = new Backoff({ base: 100, max: 1000 }, () => 1);
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => high.next()), [100, 200, 400, 800, 1000, 1000]);
  high.reset();
  assert.equal(high.next(), 100);
  const low = new Backoff({ base: 100, max: 1000 }, () => 0);
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => low.next()), [50, 100, 200, 400, 500, 500]);
  for (let i = 0, many = new Backoff({}); i < 2000; i++) assert.ok(many.next() <= 30_000);
  assert.throws(() => new Backoff({ base: -1 }), { message: "backoffMs.base: -1 is not a number above 0" });
  assert.throws(() => new Backoff({ base: 10, max: 5 }), { message: "backoffMs.max: 5 is less than base, 10" });
});

test("events are read wherever their bytes are cut, with any end of line", () => {
  const text = 'event: ticker\nid: 7-9\ndata: {"a":1}\n\n: a comment\r\n\r\ndata: one\rdata:two\r\r\nevent: none\n\nevent: x\r\ndata\r\n\r\n';
  const expected = [{ event: "ticker", data: '{"a":1}' }, { event: "message", data: "one\ntwo" }, { event: "x", data: "" }];
  for (let cut = 0; cut <= text.length; cut++) {
    for (const step of [1, 2, 3, text.length]) {
      const events = [];
      const parser = new EventParser((event) => events.push(event));
      parser.push(text.slice(0, cut));
      for (let at = cut; at < text.length; at += step) parser.push(text.slice(at, at + step));
      assert.deepEqual(events, expected, `cut at ${cut}, then by ${step}`);
    }
  }
});

test("an event without an end is an error, not a memory leak", () => {
  const parser = new EventParser(() => {});
  const piece = "x".repeat(1 << 20);
  assert.throws(() => { for (let i = 0; i < 40; i++) parser.push(piece); }, RangeError);
});

test("a batch is told once, with each thing once", async () => {
  const batches = [];
  const frames = new Frames();
  const told = new Promise((resolve) => {
    const batch = new Batch(frames, (changed) => { batches.push([...changed]); resolve(); });
    for (const thing of ["a", "b", "a", "a"]) batch.add(thing);
  });
  const closed = new Batch(frames, () => assert.fail("told after it was closed"));
  closed.add("c");
  closed.close();
  await told;
  assert.deepEqual(batches, [["a", "b"]]);
});

test("an iterator yields what changed once, and ends", async () => {
  const ended = [];
  const changes = new Changes((closed) => ended.push(closed));
  for (const thing of ["a", "b", "a"]) changes.add(thing);
  assert.deepEqual([await changes.next(), await changes.next()].map(({ value }) => value), ["a", "b"]);
  const waiting = changes.next();
  changes.add("a");
  assert.deepEqual(await waiting, { done: false, value: "a" });
  const last = changes.next();
  await changes.return();
  assert.deepEqual(await last, { done: true, value: undefined });
  assert.deepEqual(ended, [changes]);
  const failed = new Changes(() => {});
  const next = failed.next();
  failed.end(new Error("4401"));
  await assert.rejects(next, /4401/);
  await assert.rejects(failed.next(), /4401/);
});

test("the ping with the shortest way tells the clock's offset", () => {
  const clock = new ClockOffset();
  assert.equal(clock.best, undefined);
  clock.add(1000, 1100, 1_555_000);
  clock.add(2000, 2010, 2_505_500);
  clock.add(3000, 3200, 3_700_000);
  assert.deepEqual(clock.best, { offsetUs: 500_500, rttUs: 10_000 });
});

test("tokens are renewed before they end, and a callback's trouble has its name", async () => {
  assert.equal(renewalIn(3_600_000), 3_540_000);
  assert.equal(renewalIn(5_000), 4_000);
  assert.equal(renewalIn(100), 0);
  assert.equal(renewalIn(1e12), 2 ** 31 - 1);
  let asked = 0;
  const tokens = new Tokens(async () => `t${++asked}`);
  assert.deepEqual([await tokens.latest(), await tokens.latest(), await tokens.renew(), await tokens.latest()], ["t1", "t1", "t2", "t2"]);
  await assert.rejects(new Tokens(() => { throw new Error("no network"); }).latest(), { name: "TickcastError", message: "token: no network" });
  await assert.rejects(new Tokens(() => 7).latest(), /token: the callback gave no string/);
  assert.equal(await new Tokens(undefined).latest(), undefined);
  // One that has expired is not shown again.
  const jwt = (exp) => `e30.${Buffer.from(JSON.stringify({ sub: "ÿ??>", exp })).toString("base64url")}.c2ln`;
  assert.deepEqual([endOf(jwt(7)), endOf("nonsense"), endOf("a.b.c"), endOf("e30.e30.x")], [7000, undefined, undefined, undefined]);
  const ends = [1, Date.now() / 1000 + 3600, 3];
  const short = new Tokens(() => jwt(ends.shift()));
  await short.latest();
  assert.equal(await short.latest(), await short.latest());
  assert.deepEqual(ends, [3]);
});
