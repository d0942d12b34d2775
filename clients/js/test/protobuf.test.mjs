// The binary encoding: the golden vectors of the protocol, and what they do not have.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { connect } from "../dist/index.js";
import { protobuf } from "../dist/protobuf.js";
import { decimal } from "../dist/protobuf/decimal.js";
import { Reader } from "../dist/protobuf/reader.js";
import { Writer } from "../dist/protobuf/writer.js";
import { itemOf } from "../conformance/items.mjs";
import { Desk } from "./desk.mjs";
import { eventually, needsService, snapshot, startService } from "./service.mjs";

const golden = JSON.parse(await readFile(new URL("../../golden/v1.json", import.meta.url), "utf8"));
const bytesOf = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

test("the golden messages are decoded to just what JSON says", () => {
  assert.ok(golden.messages.length > 20);
  const connection = protobuf.connection();
  for (const { json, protobuf: hex } of golden.messages) assert.deepEqual(connection.decode(bytesOf(hex)), json, hex);
});

test("the golden requests are encoded to just those bytes", () => {
  assert.ok(golden.requests.length > 5);
  const connection = protobuf.connection();
  for (const { json, protobuf: hex } of golden.requests) {
    assert.equal(Buffer.from(connection.encode(json)).toString("hex"), hex, JSON.stringify(json));
  }
});

test("messages that are cut are errors, never a wrong message or an endless loop", () => {
  for (const { protobuf: hex } of golden.messages) {
    const bytes = bytesOf(hex);
    for (let length = 1; length < bytes.length; length++) {
      assert.throws(() => protobuf.connection().decode(bytes.subarray(0, length)), RangeError, `${hex} cut at ${length}`);
    }
  }
});

test("bytes of any kind are a message or an error", () => {
  let seed = 7;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const connection = protobuf.connection();
  for (let i = 0; i < 20_000; i++) {
    const bytes = bytesOf(golden.messages[i % golden.messages.length].protobuf);
    for (let n = 0; n < 3; n++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    try {
      connection.decode(bytes);
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
    }
  }
});

test("fields that are newer than this are passed over", () => {
  const connection = protobuf.connection();
  const [{ json, protobuf: hex }] = golden.messages.filter((one) => one.json.channel === "heartbeat");
  const inner = bytesOf(hex).subarray(2);
  // Fields 100 to 103 of each wire type, around the one that is known.
  const more = [0xa0, 0x06, 0x05, 0xa9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xb2, 0x06, 0x02, 9, 9, 0xbd, 0x06, 1, 2, 3, 4];
  const message = [0x32, inner.length + more.length, ...inner, ...more];
  assert.deepEqual(connection.decode(Uint8Array.from(message)), json);
  assert.deepEqual(connection.decode(Uint8Array.from([0xfa, 0x01, 0x02, 8, 1])), {});
});

test("integers of 64 bits are exact", () => {
  for (const value of [0, 1, 127, 128, 2 ** 28, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35, 2 ** 53 - 1, -1, -128, -(2 ** 31), -(2 ** 53) + 1]) {
    const writer = new Writer();
    writer.varint(value);
    assert.equal(new Reader(writer.finish()).int64(), value);
  }
  const read = (hex, method) => new Reader(bytesOf(hex))[method]();
  assert.equal(read("ffffffffffffffffff01", "uint64"), 18446744073709551615n);
  assert.equal(read("ffffffffffffffff7f", "int64"), 9223372036854775807n);
  assert.equal(read("80808080808080808001", "int64"), -9223372036854775808n);
  assert.equal(read("ffffffffffffffffff01", "sint64"), -9223372036854775808n);
  assert.equal(read("feffffffffffffffff01", "sint64"), 9223372036854775807n);
  assert.equal(read("01", "sint64"), -1);
  assert.throws(() => read("ffffffffffffffffffffff01", "uint64"), RangeError);
});

test("mantissas are written as padded decimals", () => {
  for (const [mantissa, scale, text] of [
    [0, 0, "0"], [0, 2, "0.00"], [5, 2, "0.05"], [-5, 2, "-0.05"], [12345, 2, "123.45"], [-12345, 4, "-1.2345"],
    [-7, 0, "-7"], [9223372036854775807n, 8, "92233720368.54775807"], [-9223372036854775808n, 19, "-0.9223372036854775808"],
  ]) {
    assert.equal(decimal(mantissa, scale), text);
  }
});

test("an update whose number was never told makes its channel be asked for again", () => {
  const desk = new Desk();
  const sub = desk.subscribe("ticker", ["coinbase:*"]);
  desk.subscribe("book", ["coinbase:BTC-USD"]);
  for (const request of desk.connect()) desk.grant(request);
  desk.status("coinbase:BTC-USD", "live");
  const update = golden.messages.find(({ json }) => json.channel === "ticker" && json.type === "update");
  const message = protobuf.connection().decode(bytesOf(update.protobuf));
  assert.deepEqual(message, { channel: "ticker", type: "unknown", data: [] });
  desk.ticker("coinbase:ETH-USD", 7, 9, {});
  desk.session.data(message, desk.now);
  assert.equal(sub.get("coinbase:ETH-USD").state, "live");
  const [again, ...others] = desk.after(1_000);
  assert.deepEqual(others, []);
  assert.deepEqual(again[1], { channel: "ticker", symbol: ["coinbase:*"], since: {
    "coinbase:ETH-USD": { epoch: 0, seq: 0 }, "coinbase:BTC-USD": { epoch: 0, seq: 0 },
  } });
});

test("all channels agree with /v1/snapshot over protobuf, and go on where they were", needsService, async (t) => {
  const service = await startService(t, ["--sim-instruments", "5", "--sim-rate", "40"]);
  const tick = connect(service.url, { encoding: protobuf, verifyChecksums: true, backoffMs: { base: 50 } });
  t.after(() => tick.close());
  const symbol = "sim:S0-USD";
  const subs = [
    [tick.ticker("sim:*", { maxRate: 10 }), ""], [tick.book(symbol, { depth: 25 }), "&depth=25"], [tick.trades(symbol), ""],
    [tick.bars(symbol, { interval: "1s" }), "&interval=1s"],
  ];
  const agree = async () => {
    for (const [sub, more] of subs) {
      await eventually(async () => {
        const [{ ts_publish: _, ...its }] = await snapshot(service.http, sub.channel, symbol, more);
        const mine = itemOf(sub.channel, sub.get(symbol));
        const list = { trades: "trades", bars: "bars" }[sub.channel];
        if (list !== undefined) mine[list] = mine[list].slice(-its[list].length || mine[list].length);
        assert.deepEqual(mine, its);
        return true;
      });
    }
  };
  await agree();
  assert.deepEqual([tick.connection.encoding, tick.connection.checksumFailures, tick.connection.resyncs], ["protobuf", 0, 0]);
  assert.ok((await tick.stats()).sentMessages > 0);
  tick.reconnect();
  await agree();
  assert.equal(tick.connection.reconnects, 1);
});
