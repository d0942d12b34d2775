// In the worker: the streams of the instrument that is looked at, and what of them has not been
// given to the page yet. A stream keeps only its newest state, so nothing grows while the page
// draws.

import type { Bar, Bars, Book, Failure, Subscription, Tickcast, Trades } from "tickcast";
import type { BarsCopy, BookCopy, StreamHead, TradesCopy, Wishes } from "./messages.js";

/** More changed bars than these are given as a whole. */
const BARS_CHANGED_MAX = 32;
/** What the tape shows at most. */
export const TRADES_KEPT_MAX = 200;
const BARS_KEPT_MAX = 1_000;

const maxRate = ({ rate }: Wishes) => (rate === 0 ? undefined : rate);

function head(stream: StreamHead): StreamHead {
  const { epoch, seq, state, tsPublish, receivedAt } = stream;
  return { epoch, seq, state, tsPublish, receivedAt };
}

const flat = (levels: Book["bids"]): string[] => {
  const list = new Array<string>(levels.length * 2);
  levels.forEach(([price, size], index) => {
    list[2 * index] = price;
    list[2 * index + 1] = size;
  });
  return list;
};

export class Streams {
  readonly #changed: () => void;
  #wishes: Wishes | null = null;
  #book: Subscription<"book"> | null = null;
  #trades: Subscription<"trades"> | null = null;
  #bars: Subscription<"bars"> | null = null;
  #newBook: Book | null = null;
  #newTrades: Trades | null = null;
  #newBars: Bars | null = null;
  /** The trade up to which the page has them; null: nothing of this epoch. */
  #given: { epoch: number; seq: number } | null = null;
  #barsOf = 0;
  #barsChanged = new Map<number, Bar>();

  readonly #failed: (symbol: string, failure: Failure) => void;

  /** `changed` hears that there is something to take; `failed`, what is not served. */
  constructor(changed: () => void, failed: (symbol: string, failure: Failure) => void) {
    this.#changed = changed;
    this.#failed = failed;
  }

  /** Why the instrument is not served, if one of its streams is not. */
  get failure(): Failure | undefined {
    for (const stream of [this.#book, this.#trades, this.#bars]) for (const failure of stream?.failed.values() ?? []) return failure;
    return undefined;
  }

  /** The full name of the instrument, which may have been asked for without its venue; undefined before something has come. */
  get fullName(): string | undefined {
    for (const stream of [this.#book, this.#trades, this.#bars]) for (const { symbol } of stream?.values() ?? []) return symbol;
    return undefined;
  }

  get hasNews(): boolean { return Boolean(this.#newBook ?? this.#newTrades ?? this.#newBars); }

  /** A new connection: what was subscribed to on the old one is gone with it. */
  forget(): void {
    this.#end();
    this.#wishes = null;
  }

  follow(tick: Tickcast, wishes: Wishes): void {
    const old = this.#wishes;
    this.#wishes = wishes;
    const { instrument } = wishes;
    if (old?.instrument !== instrument) {
      this.#end();
      if (instrument !== null) this.#begin(tick, instrument, wishes);
      return;
    }
    if (instrument === null || old === null) return;
    if (old.depth !== wishes.depth) this.#book?.change({ depth: wishes.depth });
    if (old.interval !== wishes.interval) this.#beginBars(tick, instrument, wishes);
    if (old.rate !== wishes.rate) {
      for (const stream of [this.#book, this.#trades, this.#bars]) {
        stream?.change({ maxRate: maxRate(wishes) });
      }
    }
  }

  #begin(tick: Tickcast, instrument: string, wishes: Wishes): void {
    const rate = { maxRate: maxRate(wishes) };
    this.#book = tick.book(instrument, { ...rate, depth: wishes.depth }, (book) => {
      this.#newBook = book;
      this.#changed();
    });
    this.#book.on("failed", this.#failed);
    this.#trades = tick.trades(instrument, { ...rate, keep: TRADES_KEPT_MAX }, (trades) => {
      this.#newTrades = trades;
      this.#changed();
    });
    this.#beginBars(tick, instrument, wishes);
  }

  #beginBars(tick: Tickcast, instrument: string, wishes: Wishes): void {
    this.#bars?.close();
    this.#newBars = null;
    this.#barsOf = 0;
    this.#barsChanged.clear();
    const options = { maxRate: maxRate(wishes), interval: wishes.interval, keep: BARS_KEPT_MAX };
    this.#bars = tick.bars(instrument, options, (bars) => {
      this.#newBars = bars;
      // When they are too many the whole is given, and the list need not grow.
      for (const bar of bars.changed.slice(-BARS_CHANGED_MAX - 1)) this.#barsChanged.set(bar.start, bar);
      if (this.#barsChanged.size > BARS_CHANGED_MAX) {
        this.#barsOf = 0;
        this.#barsChanged.clear();
      }
      this.#changed();
    });
  }

  #end(): void {
    for (const stream of [this.#book, this.#trades, this.#bars]) stream?.close();
    this.#book = this.#trades = this.#bars = null;
    this.#newBook = this.#newTrades = this.#newBars = null;
    this.#given = null;
    this.#barsOf = 0;
    this.#barsChanged.clear();
  }

  takeBook(): BookCopy | undefined {
    const book = this.#newBook;
    if (!book) return undefined;
    this.#newBook = null;
    const { symbol, depth, checksum, tsEvent } = book;
    return { ...head(book), symbol, depth, checksum, tsEvent, bids: flat(book.bids), asks: flat(book.asks) };
  }

  takeTrades(): TradesCopy | undefined {
    const trades = this.#newTrades;
    if (!trades) return undefined;
    this.#newTrades = null;
    const { symbol, epoch, seq, missed } = trades;
    const isReset = this.#given?.epoch !== epoch;
    const list = isReset ? trades.trades : trades.after(this.#given!.seq);
    this.#given = { epoch, seq };
    return { ...head(trades), symbol, missed, isReset, trades: list.slice(-TRADES_KEPT_MAX) };
  }

  takeBars(): BarsCopy | undefined {
    const bars = this.#newBars;
    if (!bars) return undefined;
    this.#newBars = null;
    const isReset = this.#barsOf !== bars.epoch;
    const list = isReset ? [...bars.bars] : [...this.#barsChanged.values()].sort((a, b) => a.start - b.start);
    this.#barsOf = bars.epoch;
    this.#barsChanged.clear();
    return { ...head(bars), symbol: bars.symbol, interval: bars.interval, isReset, bars: list };
  }
}
