// Sorting and searching, over all instruments.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isAmong, patterns, search } from "../.test/glob.js";
import { nextSort, order } from "../.test/order.js";

const row = (rank, symbol, values = {}) => ({
  rank, symbol, last: null, open: null, bid: null, ask: null, volume: null, state: "live", tsEvent: 0, ...values,
});
const symbols = (rows) => rows.map(({ symbol }) => symbol).join(" ");
const by = (column, isDown) => ({ by: column, isDown });

test("without a sort the service's order holds", () => {
  assert.equal(symbols(order([row(2, "c"), row(0, "a"), row(1, "b")], null)), "a b c");
});

test("figures sort by value and not as text", () => {
  const rows = [row(0, "a", { last: "9.5" }), row(1, "b", { last: "10" }), row(2, "c", { last: "0.0001" })];
  assert.equal(symbols(order(rows, by("last", true))), "b a c");
  assert.equal(symbols(order(rows, by("last", false))), "c a b");
});

test("what has no value is last in both directions", () => {
  const rows = [row(0, "none"), row(1, "low", { volume: "1" }), row(2, "high", { volume: "2" })];
  assert.equal(symbols(order(rows, by("volume", true))), "high low none");
  assert.equal(symbols(order(rows, by("volume", false))), "low high none");
});

test("equal rows keep the service's order", () => {
  const rows = [row(2, "c", { last: "1" }), row(0, "a", { last: "1" }), row(1, "b", { last: "1" })];
  assert.equal(symbols(order(rows, by("last", true))), "a b c");
  assert.equal(symbols(order(rows, by("last", false))), "a b c");
});

test("change is relative to the day's open, spread to the middle", () => {
  const rows = [
    row(0, "dear", { last: "1010", open: "1000", bid: "1000", ask: "1001" }),
    row(1, "cheap", { last: "1.1", open: "1", bid: "1.0", ask: "1.1" }),
  ];
  assert.equal(symbols(order(rows, by("change", true))), "cheap dear");
  assert.equal(symbols(order(rows, by("spread", true))), "cheap dear");
});

test("age sorts the oldest first, state the worst first", () => {
  const rows = [row(0, "new", { tsEvent: 9, state: "live" }), row(1, "old", { tsEvent: 1, state: "halted" })];
  assert.equal(symbols(order(rows, by("age", true))), "old new");
  assert.equal(symbols(order(rows, by("state", true))), "old new");
});

test("sorting leaves the list that it was given alone", () => {
  const rows = [row(1, "b"), row(0, "a")];
  order(rows, by("symbol", false));
  assert.equal(symbols(rows), "b a");
});

test("clicks on a column: natural, the other way, none", () => {
  const first = nextSort(null, "change");
  assert.deepEqual(first, by("change", true));
  const second = nextSort(first, "change");
  assert.deepEqual(second, by("change", false));
  assert.equal(nextSort(second, "change"), null);
  assert.deepEqual(nextSort(second, "symbol"), by("symbol", false));
});

test("a search matches the beginning of a part, and every word", () => {
  const found = (text, symbol) => search(text)(symbol);
  assert.ok(found("btc", "coinbase:BTC-USD"));
  assert.ok(found("btc-u", "coinbase:BTC-USD"));
  assert.ok(found("coin usd", "coinbase:BTC-USD"));
  assert.ok(found("", "coinbase:BTC-USD"));
  for (const text of ["bond", "bond-10y", "10y", "desk.bond"]) assert.ok(found(text, "nats:desk.BOND-10Y"), text);
  assert.ok(found("usd", "kraken:BTC/USD"));
  assert.ok(found("btc", "test:XBTC-BTC"), "the second place is the beginning of a part");
  assert.ok(!found("ond", "nats:desk.BOND-10Y"));
  assert.ok(!found("tc", "coinbase:BTC-USD"));
  assert.ok(!found("btc eur", "coinbase:BTC-USD"));
});

test("a search with a star is a pattern of the symbol, with its venue or without", () => {
  assert.ok(search("*-usd")("coinbase:BTC-USD"));
  assert.ok(search("btc-*")("coinbase:BTC-USD"));
  assert.ok(search("coinbase:*")("coinbase:BTC-USD"));
  assert.ok(!search("*-usd")("coinbase:BTC-USDT"));
  // Signs of regular expressions are only themselves.
  assert.ok(!search("b.c*")("coinbase:BTC-USD"));
});

test("patterns of a box are each once, and name what the service would", () => {
  assert.deepEqual(patterns(" sim:*, kraken:* sim:*,,"), ["sim:*", "kraken:*"]);
  assert.ok(isAmong("sim:S0-USD", ["sim:*"]));
  assert.ok(isAmong("sim:S0-USD", ["S0-USD"]));
  assert.ok(isAmong("sim:S0-USD", ["kraken:*", "sim:S0-USD"]));
  assert.ok(!isAmong("sim:S0-USD", ["kraken:*"]));
  assert.ok(!isAmong("sim:S0-USD", ["S*"]), "a pattern is for the whole symbol");
  assert.ok(!isAmong("sim:S0-USD", []));
});
