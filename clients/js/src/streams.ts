// All streams of a connection, by channel[, interval] and symbol.

import { BarsStream } from "./bars.js";
import { BookStream } from "./book.js";
import type { Stream } from "./stream.js";
import { TickerStream } from "./ticker.js";
import { TradesStream } from "./trades.js";
import type { Channel, Interval } from "./types.js";

type Table = Map<string, Stream>;
const NO_INTERVAL = "";

export class Streams {
  readonly #tables: Readonly<Record<Channel, Map<Interval | "", Table>>> = {
    ticker: new Map(), trades: new Map(), book: new Map(), bars: new Map(),
  };

  constructor(readonly verifiesBooks: boolean) {}

  get(channel: Channel, interval: Interval | undefined, symbol: string): Stream | undefined {
    return this.#tables[channel].get(interval ?? NO_INTERVAL)?.get(symbol);
  }

  open(channel: Channel, interval: Interval | undefined, symbol: string): Stream {
    const tables = this.#tables[channel];
    let table = tables.get(interval ?? NO_INTERVAL);
    if (table === undefined) tables.set(interval ?? NO_INTERVAL, (table = new Map()));
    const stream = this.#make(channel, interval, symbol) as unknown as Stream;
    table.set(symbol, stream);
    return stream;
  }

  #make(channel: Channel, interval: Interval | undefined, symbol: string):
    TickerStream | TradesStream | BookStream | BarsStream {
    switch (channel) {
      case "ticker": return new TickerStream(symbol);
      case "trades": return new TradesStream(symbol);
      case "book": return new BookStream(symbol, this.verifiesBooks);
      case "bars": return new BarsStream(symbol, interval ?? "1m");
    }
  }

  delete(stream: Stream): void {
    this.#tables[stream.channel].get(stream.interval ?? NO_INTERVAL)?.delete(stream.symbol);
  }

  /** Those of one channel[, interval], or all there are. */
  *all(channel?: Channel, interval?: Interval): IterableIterator<Stream> {
    if (channel !== undefined) {
      yield* this.#tables[channel].get(interval ?? NO_INTERVAL)?.values() ?? [];
      return;
    }
    for (const tables of Object.values(this.#tables)) for (const table of tables.values()) yield* table.values();
  }

  /** All streams of one instrument. */
  *of(symbol: string): IterableIterator<Stream> {
    for (const tables of Object.values(this.#tables)) {
      for (const table of tables.values()) {
        const stream = table.get(symbol);
        if (stream !== undefined) yield stream;
      }
    }
  }
}
