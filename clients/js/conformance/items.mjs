// What the SDK holds, written as the items of `/v1/snapshot` (without `ts_publish`).

const WIRE_NAMES = { lastSize: "last_size", bidSize: "bid_size", askSize: "ask_size" };
const FIELDS = ["last", "lastSize", "bid", "bidSize", "ask", "askSize", "open", "high", "low", "volume"];

/** What all channels say; `state` is the instrument's status. */
const head = ({ symbol, epoch, seq, state }) => ({ symbol, epoch, seq, state });

const writers = {
  ticker(view) {
    const fields = FIELDS.filter((name) => view[name] !== undefined).map((name) => [WIRE_NAMES[name] ?? name, view[name]]);
    return { ...head(view), ...Object.fromEntries(fields), ts_event: view.tsEvent };
  },
  book({ depth, bids, asks, checksum, tsEvent, ...view }) {
    return { ...head(view), depth, bids, asks, checksum, ts_event: tsEvent };
  },
  trades(view) {
    return { ...head(view), trades: view.trades.map(({ tsEvent, ...trade }) => ({ ...trade, ts_event: tsEvent })) };
  },
  bars(view) {
    return { ...head(view), interval: view.interval, bars: view.bars };
  },
};

export const itemOf = (channel, view) => writers[channel](view);
