// The ticker of an instrument: each field's latest value.

import { emptyState, Stream, type Writable } from "./stream.js";
import type { Ticker, TickerField } from "./types.js";
import type { TickerItem } from "./wire.js";

/** Fields in the order of the protocol, and their names there. */
export const TICKER_FIELDS: ReadonlyMap<TickerField, Exclude<keyof TickerItem, "symbol" | "epoch" | "seq" | "prev" | "state" | "ts_event" | "ts_publish">> =
  new Map([["last", "last"], ["lastSize", "last_size"], ["bid", "bid"], ["bidSize", "bid_size"], ["ask", "ask"],
    ["askSize", "ask_size"], ["open", "open"], ["high", "high"], ["low", "low"], ["volume", "volume"]]);

export class TickerStream extends Stream<"ticker"> {
  readonly channel = "ticker";
  readonly view: Writable<Ticker>;

  constructor(symbol: string) {
    super(symbol);
    this.view = {
      ...emptyState(symbol), last: undefined, lastSize: undefined, bid: undefined, bidSize: undefined, ask: undefined,
      askSize: undefined, open: undefined, high: undefined, low: undefined, volume: undefined, tsEvent: 0,
    };
  }

  override apply(item: TickerItem, isSnapshot: boolean): boolean {
    const view = this.view;
    // Written out, since a loop over names would look each of them up in a dictionary.
    if (isSnapshot || item.last !== undefined) view.last = item.last;
    if (isSnapshot || item.last_size !== undefined) view.lastSize = item.last_size;
    if (isSnapshot || item.bid !== undefined) view.bid = item.bid;
    if (isSnapshot || item.bid_size !== undefined) view.bidSize = item.bid_size;
    if (isSnapshot || item.ask !== undefined) view.ask = item.ask;
    if (isSnapshot || item.ask_size !== undefined) view.askSize = item.ask_size;
    if (isSnapshot || item.open !== undefined) view.open = item.open;
    if (isSnapshot || item.high !== undefined) view.high = item.high;
    if (isSnapshot || item.low !== undefined) view.low = item.low;
    if (isSnapshot || item.volume !== undefined) view.volume = item.volume;
    view.tsEvent = item.ts_event;
    view.tsPublish = item.ts_publish;
    return true;
  }

  /** Lets go what is not sent any more, rather than show it as it was. */
  limit(fields: readonly string[]): void {
    for (const [field, name] of TICKER_FIELDS) if (!fields.includes(name)) this.view[field] = undefined;
  }

  /** Whether all these fields (names of the wire; absent: all there are) are held, with or without a value. */
  holds(fields: readonly string[] | undefined): boolean {
    for (const [field, name] of TICKER_FIELDS) {
      if (this.view[field] === undefined && (fields === undefined || fields.includes(name))) return false;
    }
    return true;
  }
}
