// Books, trades and bars: what each channel does with its items.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bookChecksum } from "../dist/checksum.js";
import { Desk, since } from "./desk.mjs";

const bookItem = (seq, bids, asks, more) =>
  ({ symbol: "a:B", depth: 10, epoch: 1, seq, bids, asks, checksum: 0, ts_event: 1, ts_publish: 2, ...more });

test("a book's sides stay in order, and what is sent with size 0 leaves", () => {
  const desk = new Desk();
  const sub = desk.subscribe("book", ["a:B"]);
  desk.grant(desk.connect()[0]);
  desk.push("book", "snapshot", bookItem(1, [["10.0", "1"], ["9.5", "2"]], [["10.5", "1"], ["100.0", "2"]], { state: "live" }));
  desk.push("book", "update", bookItem(2, [["9.5", "0"], ["9.9", "3"], ["9.0", "0"]], [["99.5", "4"], ["10.2", "5"], ["100.0", "6"]], { prev: 1 }));
  const view = sub.get("a:B");
  assert.deepEqual(view.bids, [["10.0", "1"], ["9.9", "3"]]);
  assert.deepEqual(view.asks, [["10.2", "5"], ["10.5", "1"], ["99.5", "4"], ["100.0", "6"]]);
  desk.push("book", "snapshot", bookItem(9, [["1.0", "1"], ["2.0", "1"]], [], { state: "live" }));
  assert.deepEqual([view.bids, view.asks], [[["2.0", "1"], ["1.0", "1"]], []]);
});

test("a book that differs from its checksum is asked for anew, and is stale until it comes", () => {
  const desk = new Desk({ verifies: true });
  const sub = desk.subscribe("book", ["a:B"]);
  desk.grant(desk.connect()[0]);
  desk.status("a:B", "live");
  const good = (seq, bids, asks, more) => bookItem(seq, bids, asks, { checksum: bookChecksum(bids, asks), ...more });
  desk.push("book", "snapshot", good(1, [["10.0", "1"]], [["10.5", "1"]], { state: "live" }));
  assert.equal(sub.get("a:B").state, "live");
  desk.push("book", "update", bookItem(2, [["9.0", "1"]], [], { prev: 1, checksum: 7 }));
  assert.deepEqual([sub.get("a:B").state, desk.counters.checksumFailures], ["stale", 1]);
  desk.push("book", "update", bookItem(3, [["8.0", "1"]], [], { prev: 2, checksum: 7 }));
  const [again] = desk.after(1000);
  assert.deepEqual(again[1], { channel: "book", symbol: ["a:B"], since: { "a:B": since(0, 0) } });
  desk.push("book", "snapshot", good(3, [["8.0", "1"]], [["10.5", "1"]], { state: "live" }));
  assert.deepEqual([sub.get("a:B").state, sub.get("a:B").bids, desk.counters.checksumFailures], ["live", [["8.0", "1"]], 1]);
});

const trade = (seq) => ({ seq, id: `t${seq}`, price: "1.0", size: "2.0", side: "buy", ts_event: seq * 10 });
const trades = (seq, from, more) =>
  ({ symbol: "a:B", epoch: 1, seq, trades: Array.from({ length: seq - from + 1 }, (_, i) => trade(from + i)), ts_publish: 1, ...more });

test("trades come once each, in order, bounded, and what was missed is counted", () => {
  const desk = new Desk();
  const fresh = [];
  const sub = desk.subscribe("trades", ["a:B"], { keep: 5 }, (t) => fresh.push(t.fresh.map(({ seq }) => seq)));
  desk.grant(desk.connect()[0]);
  desk.status("a:B", "live");
  desk.push("trades", "snapshot", trades(4, 3, { state: "live" }));
  desk.push("trades", "update", trades(6, 4, { prev: 3 }));
  desk.push("trades", "update", trades(8, 7, { prev: 6 }));
  const view = sub.get("a:B");
  assert.deepEqual(view.trades.map(({ seq }) => seq), [4, 5, 6, 7, 8]);
  assert.deepEqual(view.trades[0], { seq: 4, id: "t4", price: "1.0", size: "2.0", side: "buy", tsEvent: 40 });
  assert.deepEqual(view.after(6).map(({ seq }) => seq), [7, 8]);
  assert.deepEqual(fresh, [[3, 4], [5, 6], [7, 8]]);
  // The ring no longer had 9 to 11; a later snapshot lacks 15 as well.
  desk.push("trades", "update", trades(13, 12, { prev: 8 }));
  assert.equal(view.missed, 3);
  desk.push("trades", "snapshot", trades(17, 15 + 1, { state: "live" }));
  assert.deepEqual([view.missed, desk.counters.missedTrades], [5, 5]);
  // Another epoch counts anew; a change of state brings no trade twice.
  desk.push("trades", "snapshot", trades(3, 2, { state: "live", epoch: 2 }));
  assert.equal(view.missed, 5);
  fresh.length = 0;
  desk.status("a:B", "halted", 2);
  assert.deepEqual(fresh, [[]]);
});

const bar = (start, close) => ({ start, open: "1", high: "2", low: "1", close, volume: "3", trades: 1, closed: false });
const bars = (seq, list, more) => ({ symbol: "a:B", interval: "1m", epoch: 1, seq, bars: list, ts_publish: 1, ...more });

test("bars are replaced by their start and stay in order", () => {
  const desk = new Desk();
  const sub = desk.subscribe("bars", ["a:B"], { keep: 3 });
  desk.grant(desk.connect()[0]);
  desk.push("bars", "snapshot", bars(1, [bar(10, "1"), bar(20, "1")], { state: "live" }));
  desk.push("bars", "update", bars(2, [bar(20, "2"), bar(30, "1")], { prev: 1 }));
  const view = sub.get("a:B");
  assert.deepEqual(view.bars.map(({ start, close }) => [start, close]), [[10, "1"], [20, "2"], [30, "1"]]);
  assert.deepEqual(view.changed.map(({ start }) => start), [20, 30]);
  desk.push("bars", "update", bars(3, [bar(10, "9"), bar(15, "8"), bar(40, "1")], { prev: 2 }));
  assert.deepEqual(view.bars.map(({ start, close }) => [start, close]), [[20, "2"], [30, "1"], [40, "1"]]);
  assert.equal(view.interval, "1m");
});
