// The SDK under the conformance script: subscribes to what the environment says and tells, line by
// line, what it holds.
//
//   TICKCAST_URL=ws://127.0.0.1:8080 TICKCAST_ENCODING=json TICKCAST_SUBSCRIPTIONS='[…]' node driver.mjs

import { createInterface } from "node:readline";
import { connect } from "../dist/index.js";

const { TICKCAST_URL, TICKCAST_ENCODING = "json", TICKCAST_TOKEN_URL, TICKCAST_SUBSCRIPTIONS = "[]" } = process.env;
const CAMEL = { last_size: "lastSize", bid_size: "bidSize", ask_size: "askSize" };
const FIELDS = ["last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume"];

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

/** What all channels say; `state` is the instrument's status. */
const head = ({ symbol, epoch, seq, state }) => ({ symbol, epoch, seq, state });

const writers = {
  ticker(out, view) {
    const item = head(view);
    for (const name of FIELDS) {
      const value = view[CAMEL[name] ?? name];
      if (value !== undefined) item[name] = value;
    }
    out.ticker[view.symbol] = { ...item, ts_event: view.tsEvent };
  },
  book(out, view) {
    const { depth, bids, asks, checksum, tsEvent } = view;
    out.book[view.symbol] = { ...head(view), depth, bids, asks, checksum, ts_event: tsEvent };
  },
  trades(out, view) {
    const trades = view.trades.map(({ tsEvent, ...trade }) => ({ ...trade, ts_event: tsEvent }));
    out.trades[view.symbol] = { ...head(view), trades };
  },
  bars(out, view) {
    (out.bars[view.symbol] ??= {})[view.interval] = { ...head(view), interval: view.interval, bars: view.bars };
  },
};

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
      writers[subscription.channel](out, view);
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
