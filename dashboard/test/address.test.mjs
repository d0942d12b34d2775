// The layout in the address: what is written is read back, what is not known is left out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULTS, read, tokenOf, write } from "../.test/address.js";

test("an address without a query is the usual layout, and the other way round", () => {
  assert.deepEqual(read(""), DEFAULTS);
  assert.equal(write(DEFAULTS), "");
});

test("every part of a layout comes back", () => {
  const layout = {
    symbols: "sim:*,coinbase:*-USD", filter: "btc us", sort: { by: "change", isDown: true },
    instrument: "sim:S0-USD", interval: "1s", depth: 100, rate: 0, encoding: "protobuf", theme: "light", panel: false,
  };
  assert.deepEqual(read(write(layout)), layout);
  for (const rate of [0, 10, 4, 1]) assert.equal(read(write({ ...layout, rate })).rate, rate);
  for (const panel of [true, false, null]) assert.equal(read(write({ ...layout, panel })).panel, panel);
  const up = { by: "symbol", isDown: false };
  assert.deepEqual(read(write({ ...layout, sort: up })).sort, up);
});

test("an address is readable", () => {
  const query = write({ ...DEFAULTS, symbols: "sim:*,kraken:*", instrument: "sim:S0-USD", rate: 0, filter: "a b" });
  assert.equal(query, "?symbols=sim:*,kraken:*&filter=a%20b&instrument=sim:S0-USD&rate=realtime");
});

test("what is not among the choices is as usual", () => {
  const query = "?interval=2m&depth=11&rate=5&encoding=xml&theme=pink&sort=-nothing&unknown=1";
  assert.deepEqual(read(query), DEFAULTS);
});

test("text has a maximum", () => {
  assert.equal(read(`?filter=${"a".repeat(10_000)}`).filter.length, 512);
});

test("signs that mean something in a query survive it", () => {
  const filter = "a+b&c=d#e%20 ü";
  assert.equal(read(write({ ...DEFAULTS, filter })).filter, filter);
});

test("the token stands behind the hash", () => {
  assert.equal(tokenOf("#token=abc.def.ghi"), "abc.def.ghi");
  assert.equal(tokenOf(""), null);
  assert.equal(tokenOf("#other=1"), null);
});
