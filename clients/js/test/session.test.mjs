// The session: what is asked, what is held, what is told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Desk, since } from "./desk.mjs";

test("a subscription is asked for once it can be, and keeps what comes by the rule", () => {
  const desk = new Desk();
  const told = [];
  const sub = desk.subscribe("ticker", ["a:B"], { maxRate: 5 }, (t) => told.push([t.seq, t.bid, t.state]));
  assert.deepEqual(desk.take(), []);
  const [request] = desk.connect();
  assert.deepEqual(request.slice(0, 2), ["subscribe", { channel: "ticker", symbol: ["a:B"], max_rate: 5 }]);
  desk.grant(request, { max_rate: 4, fields: ["last", "bid"] });
  assert.deepEqual(sub.granted, { maxRate: 4, fields: ["last", "bid"], depth: undefined, interval: undefined, globs: [] });
  desk.status("a:B", "live");
  desk.ticker("a:B", 7, 10, { last: "1.0", bid: "0.9" });
  desk.ticker("a:B", 7, 12, { bid: "0.8" }, 10);
  desk.ticker("a:B", 7, 12, { bid: "0.7" }, 10);
  desk.ticker("a:B", 7, 13, { bid: null }, 11);
  const view = sub.get("a:B");
  assert.deepEqual(told, [[10, "0.9", "live"], [12, "0.8", "live"], [13, null, "live"]]);
  assert.deepEqual([view.last, view.bid, view.ask, view.tsEvent, view.stale], ["1.0", null, undefined, 13, false]);
  assert.deepEqual(desk.take(), []);
  assert.doesNotThrow(() => structuredClone(view));
});

test("after a gap one symbol is asked for again, gathered, and reads as stale until it is whole", () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["a:*"], { maxRate: 4, fields: ["last"] });
  desk.grant(desk.connect()[0]);
  for (const symbol of ["a:A", "a:B", "a:C"]) {
    desk.status(symbol, "live");
    desk.ticker(symbol, 7, 1, { last: "1" });
  }
  desk.now += 1000;
  desk.ticker("a:A", 7, 5, { last: "5" }, 4);
  desk.ticker("a:A", 7, 6, { last: "6" }, 5);
  desk.ticker("a:C", 7, 3, { last: "3" }, 2);
  assert.deepEqual(["a:A", "a:B", "a:C"].map((symbol) => sub.get(symbol).state), ["stale", "live", "stale"]);
  assert.equal(sub.get("a:A").last, "1");
  const [again, ...others] = desk.take();
  assert.deepEqual(others, []);
  assert.deepEqual(again[1], { channel: "ticker", symbol: ["a:*"], max_rate: 4, fields: ["last"], since: { "a:A": since(7, 1), "a:C": since(7, 1) } });
  assert.deepEqual(desk.take(), []);
  desk.ticker("a:A", 7, 6, { last: "6" }, 1);
  desk.ticker("a:C", 7, 3, { last: "3" }, 1);
  assert.deepEqual([...sub.values()].map((t) => [t.last, t.state]), [["6", "live"], ["1", "live"], ["3", "live"]]);
  assert.equal(desk.counters.resyncs, 2);
});

test("a service that answers wrongly each time is asked ever more slowly", () => {
  const desk = new Desk();
  desk.subscribe("ticker", ["a:B"]);
  desk.grant(desk.connect()[0]);
  desk.ticker("a:B", 7, 1, {});
  desk.now += 1000;
  let asked = 0;
  for (let i = 0, seq = 10; i < 600; i++, seq += 10) {
    desk.ticker("a:B", 7, seq, {}, seq - 1);
    // What it answers is applied, and the next update leaves a gap again.
    for (const [, params] of desk.after(100)) {
      asked += 1;
      desk.ticker("a:B", 7, seq, {}, params.since["a:B"].seq);
    }
  }
  assert.ok(asked > 5 && asked < 20, `${asked} requests in a minute`);
});

test("an answer that gets lost is asked for again", () => {
  const desk = new Desk();
  desk.subscribe("ticker", ["a:B"]);
  const [request] = desk.connect();
  assert.deepEqual(desk.after(4_999), []);
  const [repeated] = desk.after(1);
  assert.deepEqual(repeated[1], request[1]);
  desk.grant(repeated);
  // The first message of a name that is served is waited for, but not for ever.
  assert.deepEqual(desk.after(5_000), []);
  assert.deepEqual(desk.after(10)[0][1].since, { "a:B": since(0, 0) });
  desk.ticker("a:B", 7, 1, {});
  assert.deepEqual(desk.after(120_000), []);
});

test("after a reconnect all that is held is claimed, and is stale until it is confirmed", () => {
  const desk = new Desk();
  const states = [];
  const sub = desk.subscribe("ticker", ["a:*"], {}, (t) => states.push(`${t.symbol} ${t.state}`));
  const all = Object.fromEntries(["last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume"].map((name) => [name, "1"]));
  desk.grant(desk.connect()[0]);
  desk.status("a:A", "live");
  desk.status("a:B", "halted");
  desk.ticker("a:A", 7, 1, all);
  desk.ticker("a:B", 7, 4, { ...all, ask: null });
  states.length = 0;
  desk.session.disconnected(desk.now);
  assert.deepEqual(states.splice(0), ["a:A stale", "a:B stale"]);
  assert.equal(desk.session.status("a:B"), "stale");
  const [request] = desk.connect();
  assert.deepEqual(request[1].since, { "a:A": since(7, 1), "a:B": since(7, 4) });
  desk.grant(request);
  desk.status("a:A", "live", 1, 5);
  desk.status("a:B", "live", 1, 5);
  assert.deepEqual(states, []);
  desk.ticker("a:A", 7, 1, {}, 1);
  desk.ticker("a:B", 3, 1, { ...all, last: "2" });
  assert.deepEqual(states, ["a:A live", "a:B live"]);
  assert.deepEqual([sub.get("a:B").epoch, sub.get("a:B").last], [3, "2"]);
});

test("what was not held with the fields or the depth that are asked for is not claimed", () => {
  const desk = new Desk();
  const ticker = desk.subscribe("ticker", ["a:B"], { fields: ["last"] });
  const book = desk.subscribe("book", ["a:B"], { depth: 25 });
  for (const request of desk.connect()) desk.grant(request);
  desk.ticker("a:B", 7, 1, { last: "1" });
  const item = { symbol: "a:B", depth: 25, epoch: 7, seq: 9, state: "live", bids: [], asks: [], checksum: 0, ts_event: 1, ts_publish: 2 };
  desk.push("book", "snapshot", item);
  ticker.change({ fields: ["last", "bid"] });
  book.change({ depth: 100 });
  const changed = desk.take();
  assert.deepEqual(changed.map(([, params]) => params), [
    { channel: "ticker", symbol: ["a:B"], fields: ["last", "bid"] }, { channel: "book", symbol: ["a:B"], depth: 100 },
  ]);
  // What is on its way at the old depth is no gap, and nothing is asked twice.
  desk.push("book", "update", { ...item, prev: 9, seq: 10 });
  for (const request of changed) desk.grant(request);
  desk.push("book", "snapshot", { ...item, depth: 100, seq: 10 });
  assert.deepEqual(desk.after(1000), []);
  assert.equal(book.get("a:B").depth, 100);
  ticker.change({ fields: undefined, maxRate: 4 });
  assert.deepEqual(desk.take()[0][1], { channel: "ticker", symbol: ["a:B"], max_rate: 4 });
});

test("fields that are given up are not shown as they were", () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["a:B"], { fields: ["last", "bid"] });
  desk.grant(desk.connect()[0]);
  desk.ticker("a:B", 7, 1, { last: "1", bid: "2" });
  sub.change({ fields: ["last"] });
  const [request] = desk.take();
  assert.deepEqual(request[1].since, { "a:B": since(7, 1) });
  desk.grant(request);
  assert.deepEqual([sub.get("a:B").last, sub.get("a:B").bid], ["1", undefined]);
});

test("failed symbols are told to their subscription, or to the connection", () => {
  const desk = new Desk();
  const failures = [];
  const sub = desk.subscribe("ticker", ["a:B", "a:NOPE", "b:*"]);
  sub.on("failed", (symbol, { code }) => failures.push([symbol, code]));
  desk.subscribe("book", ["a:NOPE"]);
  const [ticker, book] = desk.connect();
  const failed = [{ symbol: "a:NOPE", code: 4404, error: "unknown symbol" }];
  desk.grant(ticker, { failed });
  desk.grant(book, { failed });
  assert.deepEqual(failures, [["a:NOPE", 4404]]);
  assert.deepEqual(desk.unheardOf, [["book", "a:NOPE", 4404]]);
  desk.ticker("b:C", 1, 1, { last: "1" });
  assert.equal(sub.size, 1);
  // A right is lost, which nobody has asked about.
  desk.session.answer({ method: "subscribe", success: true,
    result: { channel: "ticker", symbol: [], globs: [], failed: [{ symbol: "b:C", code: 4403, error: "no longer entitled" }] } }, desk.now);
  assert.deepEqual(failures, [["a:NOPE", 4404], ["b:C", 4403]]);
  assert.deepEqual([sub.size, sub.failed.get("b:C").code], [0, 4403]);
  assert.deepEqual(desk.after(60_000).filter(([, params]) => params.symbol.includes("a:NOPE")), []);
  // On the next connection it may be there.
  const [again] = desk.connect();
  assert.deepEqual(again[1].symbol, ["a:B", "a:NOPE", "b:*"]);
  desk.grant(again);
  assert.equal(sub.failed.has("a:NOPE"), false);
});

test("a refusal that passes is waited out, one that does not is told", () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["a:B"]);
  const [request] = desk.connect();
  desk.refuse(request, 4529, "too many requests");
  assert.deepEqual(desk.faults, [[4529, "too many requests"]]);
  assert.deepEqual(desk.after(999), []);
  const [second] = desk.after(1);
  desk.refuse(second, 4503, "overloaded");
  assert.deepEqual(desk.after(1_999), []);
  const [third] = desk.after(1);
  desk.refuse(third, 4413, "too many subscriptions");
  assert.equal(sub.failed.get("a:B").code, 4413);
  assert.deepEqual(desk.after(60_000), []);
});

test("subscriptions that ask the same go in one request, and share what is held", async () => {
  const desk = new Desk();
  const subs = ["a:A", "a:B", "a:C"].map((symbol) => desk.subscribe("ticker", symbol, { maxRate: 4 }));
  const requests = desk.connect();
  assert.deepEqual(requests.map(([, params]) => params), [{ channel: "ticker", symbol: ["a:A", "a:B", "a:C"], max_rate: 4 }]);
  desk.grant(requests[0]);
  desk.ticker("a:A", 1, 1, { last: "1" });
  // A later one gets what is held at once; nothing has to be asked.
  const late = [];
  const second = desk.subscribe("ticker", "a:A", { maxRate: 4 }, (t) => late.push(t.last));
  assert.deepEqual(desk.take(), []);
  await Promise.resolve();
  assert.deepEqual(late, ["1"]);
  assert.equal(second.get("a:A"), subs[0].get("a:A"));
  // The later one's options win while it lives, and go with it.
  second.change({ maxRate: 10 });
  const all = desk.take();
  assert.deepEqual(all.map(([, params]) => params.max_rate), [10]);
  desk.grant(all[0]);
  second.close();
  assert.deepEqual(desk.take().map(([method, params]) => [method, params.max_rate]), [["subscribe", 4]]);
  subs[0].close();
  assert.deepEqual(desk.take().map(([method, params]) => [method, params.symbol]), [["unsubscribe", ["a:A"]]]);
  assert.equal(subs[0].size, 0);
});

test("what is ended and begun again begins anew", () => {
  const desk = new Desk();
  const first = desk.subscribe("bars", ["a:B"], { interval: "1s" });
  desk.grant(desk.connect()[0]);
  desk.push("bars", "snapshot", { symbol: "a:B", interval: "1s", epoch: 1, seq: 1, state: "live", bars: [], ts_publish: 1 });
  first.close();
  const second = desk.subscribe("bars", ["a:B"], { interval: "1s" });
  assert.deepEqual(desk.take().map(([method, params]) => [method, params]), [
    ["unsubscribe", { channel: "bars", symbol: ["a:B"], interval: "1s" }],
    ["subscribe", { channel: "bars", symbol: ["a:B"], interval: "1s" }],
  ]);
  // What was on its way is of the old one, and no gap.
  desk.push("bars", "update", { symbol: "a:B", interval: "1s", epoch: 1, prev: 1, seq: 2, bars: [], ts_publish: 1 });
  assert.equal(desk.counters.resyncs, 0);
  assert.equal(second.size, 0);
});

test("symbols change in place", () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["a:A", "a:B"]);
  desk.grant(desk.connect()[0]);
  for (const symbol of ["a:A", "a:B"]) desk.ticker(symbol, 1, 1, {});
  sub.setSymbols(["a:B", "a:C"]);
  assert.deepEqual(desk.take().map(([method, params]) => [method, params.symbol]), [["unsubscribe", ["a:A"]], ["subscribe", ["a:C"]]]);
  assert.deepEqual([...sub.values()].map((t) => t.symbol), ["a:B"]);
  sub.close();
  assert.throws(() => sub.setSymbols([]), /closed/);
});

test("another interval is another subscription", () => {
  const desk = new Desk();
  const sub = desk.subscribe("bars", ["a:B"], { interval: "1s" });
  desk.grant(desk.connect()[0]);
  sub.change({ interval: "1m" });
  assert.deepEqual(desk.take().map(([method, params]) => [method, params.interval]), [["unsubscribe", "1s"], ["subscribe", "1m"]]);
});

test("requests stay within what the service reads, lists and takes", () => {
  const desk = new Desk();
  const names = Array.from({ length: 900 }, (_, i) => `venue:INSTRUMENT-${String(i).padStart(4, "0")}-USD`);
  desk.subscribe("trades", names);
  let requests = desk.connect(16_384);
  const bytes = (list) => Math.max(...list.map(([method, params]) => JSON.stringify({ method, params }).length));
  assert.ok(bytes(requests) < 16_384 && requests.every(([, params]) => params.symbol.length <= 500));
  assert.deepEqual(requests.flatMap(([, params]) => params.symbol), names);
  for (const request of requests) desk.grant(request);
  for (const symbol of names) desk.push("trades", "snapshot", { symbol, epoch: 7_355_813_728_256, seq: 1, state: "live", trades: [], ts_publish: 1 });
  desk.session.disconnected(desk.now);
  requests = desk.connect(16_384);
  assert.ok(bytes(requests) < 16_384, `${bytes(requests)}`);
  assert.ok(requests.length > 3 && requests.length <= 30);
  for (const [, params] of requests) assert.deepEqual(Object.keys(params.since), params.symbol);
  // Of a glob as much is claimed as fits.
  const other = new Desk();
  other.subscribe("trades", ["venue:*"]);
  other.grant(other.connect(16_384)[0]);
  for (const symbol of names) other.push("trades", "snapshot", { symbol, epoch: 7_355_813_728_256, seq: 1, state: "live", trades: [], ts_publish: 1 });
  other.session.disconnected(other.now);
  const again = other.connect(16_384);
  assert.equal(again.length, 1);
  assert.ok(bytes(again) < 16_384 && Object.keys(again[0][1].since).length > 100);
});

test("no more requests are sent than the service takes", () => {
  const desk = new Desk();
  for (let i = 0; i < 100; i++) desk.subscribe("ticker", `a:${i}`, { maxRate: i + 1 });
  assert.equal(desk.connect().length, 30);
  assert.equal(desk.after(1000).length, 8);
  assert.equal(desk.after(250).length, 2);
});

test("of two globs the later one's options win, also after a reconnect", () => {
  const desk = new Desk();
  desk.subscribe("ticker", ["a:*"], { maxRate: 1 });
  desk.subscribe("ticker", ["a:B*"], { maxRate: 4 });
  desk.subscribe("ticker", ["a:BC*"], { maxRate: 1 });
  desk.subscribe("ticker", ["a:BCD"], { maxRate: 1 });
  assert.deepEqual(desk.connect().map(([, params]) => [params.symbol, params.max_rate]), [
    [["a:*"], 1], [["a:B*"], 4], [["a:BC*", "a:BCD"], 1],
  ]);
});

test("statuses are told as they come, whatever the order of what is lost", () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["a:B"]);
  desk.grant(desk.connect()[0]);
  desk.status("a:B", "resync");
  desk.ticker("a:B", 1, 1, {});
  assert.deepEqual([sub.get("a:B").state, sub.get("a:B").stale], ["resync", true]);
  desk.push("status", "update", { symbol: "a:B", epoch: 1, prev: 4, seq: 5, state: "halted", ts_state: 1 });
  desk.push("status", "update", { symbol: "a:B", epoch: 1, prev: 3, seq: 4, state: "live", ts_state: 1 });
  assert.deepEqual([sub.get("a:B").state, sub.get("a:B").stale], ["halted", false]);
  assert.deepEqual(desk.statuses.map(({ state, previous }) => [previous, state]), [[undefined, "resync"], ["resync", "halted"]]);
});

test("messages that are not understood are ignored", () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["a:B"]);
  desk.grant(desk.connect()[0]);
  desk.session.data({ channel: "ticker", type: "snapshot" }, desk.now);
  desk.ticker("z:Z", 1, 1, {});
  desk.ticker("a:B", 1, 1, { last: "1", novelty: { deep: true } });
  desk.session.answer({ method: "novel", success: true }, desk.now);
  assert.equal(sub.size, 1);
});

test("an iterator ends with the failure when nothing of its subscription is served", async () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["a:A", "a:NOPE"]);
  const mixed = desk.subscribe("ticker", ["a:*", "a:NOPE"]);
  const [reading, other] = [sub[Symbol.asyncIterator](), mixed[Symbol.asyncIterator]()];
  const request = desk.connect()[0];
  const unknown = { symbol: "a:NOPE", code: 4404, error: 'symbol "a:NOPE" is unknown' };
  desk.grant(request, { failed: [unknown] });
  desk.ticker("a:A", 7, 1, { last: "1" });
  assert.equal((await reading.next()).value.last, "1");
  const waiting = assert.rejects(reading.next(), { name: "TickcastError", code: 4404, message: unknown.error });
  // What is left has failed, so that nothing can come.
  sub.setSymbols(["a:NOPE"]);
  await waiting;
  await assert.rejects(sub[Symbol.asyncIterator]().next(), { code: 4404 });
  assert.equal((await other.next()).value.symbol, "a:A");
  sub.setSymbols(["a:A"]);
  const anew = sub[Symbol.asyncIterator]();
  const lost = assert.rejects(anew.next().then(() => anew.next()), { code: 4403 });
  await Promise.resolve();
  desk.session.held.fail("ticker", undefined, "a:A", { code: 4403, error: "no right" }, desk.now);
  await lost;
});

test("a name that was waited for and does not exist fails its subscription alone", () => {
  const desk = new Desk();
  const [good, waits] = [["a:B"], ["a:NOPE"]].map((names) => desk.subscribe("ticker", names));
  desk.subscribe("book", ["a:B"]);
  for (const request of desk.connect()) desk.grant(request);
  assert.equal(waits.failed.size, 0);
  const error = 'params.symbol: "a:NOPE": unknown symbol';
  desk.session.answer({ method: "subscribe", success: false, code: 4404, error }, desk.now);
  assert.deepEqual([...waits.failed], [["a:NOPE", { code: 4404, error: "unknown symbol" }]]);
  assert.deepEqual([good.failed.size, desk.faults], [0, []]);
  desk.session.answer({ method: "subscribe", success: false, code: 4500, error: "internal" }, desk.now);
  assert.deepEqual(desk.faults, [[4500, "internal"]]);
});
