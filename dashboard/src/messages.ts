// What the page and its worker say to each other. Values are plain copies: the SDK's own objects
// live in the worker and change in place there.

import type { Bar, ConnectionState, Depth, Interval, Ticker, Trade, TradingState } from "tickcast";
import type { EncodingName, Rate } from "./address.js";
import type { Offset } from "./latency.js";
import type { SlowState } from "./slow.js";

/** What the page wants of the service; said again whenever it changes. */
export interface Wishes {
  readonly symbols: readonly string[];
  readonly instrument: string | null;
  readonly interval: Interval;
  readonly depth: Depth;
  readonly rate: Rate;
  readonly encoding: EncodingName;
}

export type Command =
  | { readonly kind: "open"; readonly url: string; readonly token: string | null; readonly wishes: Wishes }
  | { readonly kind: "wish"; readonly wishes: Wishes }
  /** The page has drawn what it got: one more batch may come. */
  | { readonly kind: "ready" }
  | { readonly kind: "slow"; readonly isSlow: boolean }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "retry" };

export type TickerCopy = { readonly [K in keyof Ticker]: Ticker[K] };

/** The heads of the four streams of the instrument that is looked at. */
export interface StreamHead {
  readonly epoch: number;
  readonly seq: number;
  readonly state: TradingState;
  readonly tsEvent?: number;
  readonly tsPublish: number;
  readonly receivedAt: number;
}

export interface BookCopy extends StreamHead {
  readonly symbol: string;
  readonly depth: number;
  readonly checksum: number;
  /** Price, size, price, size, …, best first. */
  readonly bids: readonly string[];
  readonly asks: readonly string[];
}

export interface TradesCopy extends StreamHead {
  readonly symbol: string;
  /** Whether these replace what was there. */
  readonly isReset: boolean;
  readonly trades: readonly Trade[];
  readonly missed: number;
}

export interface BarsCopy extends StreamHead {
  readonly symbol: string;
  readonly interval: Interval;
  readonly isReset: boolean;
  readonly bars: readonly Bar[];
}

/** The service's count of this connection. */
export interface StatsCopy {
  readonly mergedUpdates: number;
  readonly owedTopics: number;
}

export interface LinkCopy {
  readonly state: ConnectionState;
  readonly transport: string;
  readonly encoding: string;
  readonly session: string | undefined;
  readonly version: string | undefined;
  readonly since: number;
  readonly attempt: number;
  readonly nextAttemptAt: number | undefined;
  readonly reason: { readonly code?: number | undefined; readonly text: string } | undefined;
  readonly reconnects: number;
  readonly resyncs: number;
  readonly missedTrades: number;
  readonly messages: number;
  readonly bytes: number;
  readonly goaway: { readonly closesAt: number; readonly reason: string } | undefined;
  /** The service's clock less ours; undefined before it is known well enough. */
  readonly offset: Offset | undefined;
  readonly rttUs: number | undefined;
  /** When these were read, ms: rates are differences over it. */
  readonly at: number;
  readonly stats: StatsCopy | undefined;
  /** What the watchlist was granted: updates per second, absent for real time. */
  readonly granted: { readonly maxRate?: number | undefined; readonly matched: number } | undefined;
  /** null: it is off. */
  readonly slow: SlowState | null;
  /** Of the instrument that is looked at: its name as asked for, its full name when known, why it is not served. */
  readonly looked: { readonly asked: string; readonly symbol: string | undefined; readonly failure: string | undefined } | undefined;
  /** A symbol that failed, a fault: the latest, for a while. */
  readonly fault: string | undefined;
}

export interface InstrumentCopy {
  readonly symbol: string;
  readonly tickSize: string | null;
  readonly lotSize: string | null;
}

export interface Batch {
  readonly kind: "batch";
  readonly tickers: readonly TickerCopy[];
  readonly book: BookCopy | undefined;
  readonly trades: TradesCopy | undefined;
  readonly bars: BarsCopy | undefined;
  readonly link: LinkCopy | undefined;
}

export type Report =
  | Batch
  | { readonly kind: "instruments"; readonly instruments: readonly InstrumentCopy[] }
  | { readonly kind: "token-wanted"; readonly why: string };
