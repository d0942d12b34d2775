// What the page holds of every instrument: the last copy of its ticker, its place in the service's
// list and the line of its prices. The watchlist shows some of them, sorts and searches all.

import { History } from "./history.js";
import type { InstrumentCopy, TickerCopy } from "./messages.js";

/** Behind everything that the service lists, in the order of arrival. */
const RANK_UNLISTED = 1e9;

export class Row {
  ticker: TickerCopy;
  rank: number;
  /** Whether it is in the watchlist; not so an instrument that was only opened. */
  isWatched: boolean;
  readonly venue: string;
  readonly name: string;
  readonly history = new History();

  constructor(ticker: TickerCopy, rank: number, isWatched: boolean) {
    this.ticker = ticker;
    this.rank = rank;
    this.isWatched = isWatched;
    const at = ticker.symbol.indexOf(":");
    this.venue = ticker.symbol.slice(0, Math.max(at, 0));
    this.name = ticker.symbol.slice(at + 1);
  }

  get symbol(): string { return this.ticker.symbol; }
  get last() { return this.ticker.last; }
  get open() { return this.ticker.open; }
  get bid() { return this.ticker.bid; }
  get ask() { return this.ticker.ask; }
  get volume() { return this.ticker.volume; }
  get state(): string { return this.ticker.state; }
  /** The venue's time of what is shown; the service's where the venue gives none. */
  get tsEvent(): number { return this.ticker.tsEvent || this.ticker.tsPublish; }
}

export class Rows {
  readonly #rows = new Map<string, Row>();
  #ranks = new Map<string, number>();

  get(symbol: string): Row | undefined { return this.#rows.get(symbol); }
  watched(): Row[] { return [...this.#rows.values()].filter(({ isWatched }) => isWatched); }

  /** Takes a ticker; answers the row and whether it is new. */
  take(ticker: TickerCopy, isWatched: () => boolean): { row: Row; isNew: boolean } {
    let row = this.#rows.get(ticker.symbol);
    const isNew = row === undefined;
    if (row) row.ticker = ticker;
    else {
      const rank = this.#ranks.get(ticker.symbol) ?? RANK_UNLISTED + this.#rows.size;
      row = new Row(ticker, rank, isWatched());
      this.#rows.set(ticker.symbol, row);
    }
    return { row, isNew };
  }

  /** Adds the present prices to the lines. */
  sample(nowMs: number): void {
    for (const { last, history } of this.#rows.values()) {
      if (last != null) history.add(Number(last), nowMs);
    }
  }

  /** The service's list: its order is the watchlist's when nothing else is chosen. */
  rank(instruments: readonly InstrumentCopy[]): void {
    this.#ranks = new Map(instruments.map(({ symbol }, index) => [symbol, index]));
    for (const row of this.#rows.values()) row.rank = this.#ranks.get(row.symbol) ?? row.rank;
  }

  /** Other symbols are watched now; what is neither that nor `opened` goes. */
  keep(isWatched: (symbol: string) => boolean, opened: string | null): void {
    for (const row of this.#rows.values()) {
      row.isWatched = isWatched(row.symbol);
      if (!row.isWatched && row.symbol !== opened) this.#rows.delete(row.symbol);
    }
  }
}
