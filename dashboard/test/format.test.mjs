// Words for numbers, the line of a sparkline, medians.

import assert from "node:assert/strict";
import { test } from "node:test";
import { age, bytes, delay, duration, instant, latency, rate, shortSize, shortVolume } from "../.test/format.js";
import { HISTORY_MAX, History } from "../.test/history.js";
import { Latency, OffsetEstimate, delayOf } from "../.test/latency.js";

const check = (format, cases) => cases.forEach(([value, expected]) => assert.equal(format(value), expected));

test("ages have one unit", () => {
  check(age, [[-5, "0.0s"], [0, "0.0s"], [949, "0.9s"], [9_940, "9.9s"], [9_960, "9s"], [59_999, "59s"],
    [60_000, "1m"], [3_599_999, "59m"], [3_600_000, "1h"], [86_400_000, "1d"], [NaN, "–"]]);
});

test("latencies say the unit that fits, and do not hide a clock that is ahead", () => {
  check(latency, [[null, "–"], [0.05, "50 µs"], [1.24, "1.2 ms"], [44.4, "44 ms"], [1_500, "1.5s"],
    [-3.2, "\u22123.2 ms"], [-90_000, "\u22121m"]]);
});

test("sizes and volumes fit their columns", () => {
  check(shortSize, [[null, "–"], ["0", "0.0000"], ["0.01000000", "0.0100"], ["0.00001", "1.0e-5"],
    ["123.456", "123.46"], ["12345678", "12.3M"]]);
  check(shortVolume, [[null, "–"], ["1999446.5407", "2.0M"], ["12", "12.0"]]);
});

test("rates, bytes and durations", () => {
  check(rate, [[NaN, "–"], [0, "0"], [0.34, "0.3"], [5_000, "5,000"]]);
  check(bytes, [[0, "0 B"], [999, "999 B"], [1_500, "1.50 kB"], [157_700, "157.7 kB"], [2_500_000, "2.50 MB"]]);
  check(duration, [[0, "0:00"], [61_000, "1:01"], [3_661_000, "1:01:01"]]);
});

test("an instant keeps its microseconds", () => {
  assert.equal(instant(1_770_123_456_789_012), "2026-02-03 12:57:36.789012 UTC");
  assert.equal(instant(0), "–");
});

test("a history never holds more than its maximum, and always reaches back to the beginning", () => {
  const history = new History();
  for (let second = 0; second < 10_000; second += 1) history.add(second, second * 1_000);
  assert.ok(history.length <= HISTORY_MAX, String(history.length));
  assert.ok(history.length >= HISTORY_MAX / 2 - 1, String(history.length));
  assert.ok(history.at(0) < 600, `begins at ${history.at(0)}`);
  assert.equal(history.at(history.length - 1), 9_999);
});

test("within a step the newest price replaces the last point", () => {
  const history = new History();
  history.add(1, 0);
  assert.equal(history.add(2, 10), true);
  assert.equal(history.add(2, 20), false);
  assert.equal(history.length, 1);
  assert.equal(history.at(0), 2);
  assert.equal(history.add(NaN, 5_000), false);
});

test("a line spans its box; a price that does not move is in the middle", () => {
  const history = new History();
  assert.equal(history.path(10, 4), "");
  [1, 3, 2].forEach((price, second) => history.add(price, second * 1_000));
  assert.equal(history.path(10, 4), "M0.0 4.0L5.0 0.0L10.0 2.0");
  const flat = new History();
  [5, 5].forEach((price, second) => flat.add(price, second * 1_000));
  assert.equal(flat.path(10, 4), "M0.0 2.0L10.0 2.0");
});

test("a median is of the latest, and of nothing is nothing", () => {
  const latencies = new Latency();
  assert.equal(latencies.median(), null);
  for (const one of [5, 1, NaN, 100]) latencies.add(one);
  assert.equal(latencies.median(), 5);
  for (let one = 0; one < 1_000; one += 1) latencies.add(7);
  assert.equal(latencies.median(), 7);
  latencies.clear();
  assert.equal(latencies.median(), null);
});

test("no offset of clocks is believed by the first round trip, and a reconnect keeps the one before meanwhile", () => {
  const estimate = new OffsetEstimate();
  assert.equal(estimate.take("a", undefined, undefined), undefined);
  estimate.answered();
  assert.equal(estimate.take("a", -73_000, 150_000), undefined);
  estimate.answered();
  assert.deepEqual(estimate.take("a", 200, 800), { ms: 0.2, errorMs: 0.4 });
  estimate.answered();
  assert.deepEqual(estimate.take("b", 50_000, 120_000), { ms: 0.2, errorMs: 0.4 });
  [1, 2].forEach(() => estimate.answered());
  assert.deepEqual(estimate.take("b", 300, 600), { ms: 0.3, errorMs: 0.3 });
});

test("a delay is never shown below nothing: then it is below what the estimate may be wrong by", () => {
  const shown = (median, offset) => delay(delayOf(median, offset));
  assert.equal(shown(null, { ms: 1, errorMs: 1 }), "–");
  assert.equal(shown(5, undefined), "–");
  assert.equal(shown(5, { ms: -3, errorMs: 1 }), "2.0 ms");
  assert.equal(shown(-0.4, { ms: 0.2, errorMs: 0.5 }), "< 0.5 ms");
  assert.equal(shown(-60_000, { ms: 0.2, errorMs: 0.5 }), "–");
});
