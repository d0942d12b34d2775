// The SDK under the conformance script: subscribes to what the environment says and tells, line by
// line, what it holds.
//
//   TICKCAST_URL=ws://127.0.0.1:8080 TICKCAST_ENCODING=json TICKCAST_SUBSCRIPTIONS='[…]' node driver.mjs

import { createInterface } from "node:readline";
import { connect } from "../dist/index.js";
import { itemOf } from "./items.mjs";

const { TICKCAST_URL, TICKCAST_ENCODING = "json", TICKCAST_TOKEN_URL, TICKCAST_SUBSCRIPTIONS = "[]" } = process.env;
const CAMEL = { last_size: "lastSize", bid_size: "bidSize", ask_size: "askSize" };

function fail(error) {
  console.error(error);
  process.exit(1);
}
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);

async function encodingOf(name) {
  if (name === "json" || name === "sse") return "json";
  const module = name === "protobuf" ? await import("../dist/protobuf.js").catch(() => undefined) : undefined;
  if (module !== undefined) return module.protobuf;
  console.log(`unsupported ${name}`);
  process.exit(3);
}

const token = TICKCAST_TOKEN_URL === undefined ? undefined : async () => {
  const response = await fetch(TICKCAST_TOKEN_URL);
  if (!response.ok) throw new Error(`${TICKCAST_TOKEN_URL}: HTTP ${response.status}`);
  return (await response.text()).trim();
};

const tick = connect(TICKCAST_URL, {
  encoding: await encodingOf(TICKCAST_ENCODING),
  transport: TICKCAST_ENCODING === "sse" ? "sse" : "websocket",
  token,
  verifyChecksums: true,
  backoffMs: { base: 50, max: 500 },
});
tick.on("error", (error) => console.error(error.message));

const subscriptions = JSON.parse(TICKCAST_SUBSCRIPTIONS).map((params) => {
  const { channel, symbol, max_rate, fields, depth, interval, snapshot } = params;
  const all = { maxRate: max_rate, fields: fields?.map((name) => CAMEL[name] ?? name), depth, interval, snapshot };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return tick[channel](symbol, Object.fromEntries(given));
});

function state() {
  const { connection } = tick;
  const out = {
    connection: {
      state: connection.state, transport: connection.transport, encoding: connection.encoding,
      reconnects: connection.reconnects, resyncs: connection.resyncs,
      checksum_failures: connection.checksumFailures, missed_trades: connection.missedTrades,
    },
    status: {}, ticker: {}, book: {}, trades: {}, bars: {},
  };
  for (const subscription of subscriptions) {
    for (const view of subscription.values()) {
      const item = itemOf(subscription.channel, view);
      if (subscription.channel === "bars") (out.bars[view.symbol] ??= {})[view.interval] = item;
      else out[subscription.channel][view.symbol] = item;
      out.status[view.symbol] = tick.status(view.symbol);
    }
  }
  return JSON.stringify(out);
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "state") console.log(state());
  else if (line.trim() === "stop") break;
}
tick.close();
process.stdin.destroy();
