// Spread and day change, exact where floats are not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { dayChange, parse, runningSums, signed, spread, text } from "../.test/decimal.js";

test("a decimal is read and written with the digits that it has", () => {
  for (const one of ["0", "0.10", "68900.50", "0.00000001", "123456789012345678901234567890.12345678", "-1.50"]) {
    assert.equal(text(parse(one)), one);
  }
  for (const none of ["", "1e5", "NaN", ".5", "1.", "+1", " 1", "1,000", "9".repeat(65), null, undefined]) {
    assert.equal(parse(none), null, String(none));
  }
});

test("a spread is exact at the finer scale", () => {
  assert.deepEqual(spread("0.1", "0.3"), { amount: "0.2", basisPoints: "10000.0" });
  assert.deepEqual(spread("68900.00", "68900.50"), { amount: "0.50", basisPoints: "0.1" });
  // 0.07 - 0.05 is 0.020000000000000004 in floats.
  assert.equal(spread("0.05", "0.07").amount, "0.02");
  assert.equal(spread("9007199254740993", "9007199254740994").amount, "1");
});

test("locked and crossed quotes have spreads of zero and below", () => {
  assert.equal(spread("10.0", "10.0").amount, "0.0");
  assert.deepEqual(spread("10.01", "10.00"), { amount: "\u22120.01", basisPoints: "\u221210.0" });
});

test("a side that is missing makes no spread", () => {
  assert.equal(spread(null, "1"), null);
  assert.equal(spread("1", undefined), null);
  assert.deepEqual(spread("0", "0"), { amount: "0", basisPoints: null });
});

test("a day's change is exact, and its percent is rounded away from zero at a half", () => {
  assert.deepEqual(dayChange("68900.50", "67000.00"), { amount: "+1900.50", percent: "+2.84%", sign: 1 });
  assert.deepEqual(dayChange("0.9", "1.0"), { amount: "\u22120.1", percent: "\u221210.00%", sign: -1 });
  assert.deepEqual(dayChange("1.0", "1.00"), { amount: "0.00", percent: "0.00%", sign: 0 });
  // 0.005 % of 100: a half.
  assert.equal(dayChange("100.005", "100").percent, "+0.01%");
  assert.equal(dayChange("99.995", "100").percent, "\u22120.01%");
  assert.equal(dayChange("1", "0"), null);
  assert.equal(dayChange(null, "1"), null);
});

test("a change that rounds to nothing still has its sign", () => {
  assert.deepEqual(dayChange("100000.01", "100000.00"), { amount: "+0.01", percent: "0.00%", sign: 1 });
});

test("signs are true minus and plus", () => {
  assert.equal(signed({ mantissa: -5n, scale: 1 }), "\u22120.5");
  assert.equal(signed({ mantissa: 5n, scale: 1 }), "+0.5");
  assert.equal(signed({ mantissa: 0n, scale: 1 }), "0.0");
});

test("running sums do not drift", () => {
  const sums = runningSums(Array.from({ length: 1_000 }, () => "0.1"));
  assert.equal(text(sums.at(-1)), "100.0");
  assert.deepEqual(runningSums(["1.5", "0.25", "2"]).map(text), ["1.50", "1.75", "3.75"]);
  assert.deepEqual(runningSums([]), []);
});
