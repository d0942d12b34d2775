// The public types: what an application gets from, and gives to, the SDK.
//
// Names are those of the wire protocol in camelCase. Prices, sizes and volumes are decimal text
// exactly as the service sends it, never a binary float. Times named ts… are microseconds since the
// Unix epoch (they fit a double until the year 2255); all others are milliseconds.

/** What can be subscribed to. */
export type Channel = "ticker" | "trades" | "book" | "bars";
/** An instrument's trading status: `stale` (may be old), `resync` (a new snapshot is awaited). */
export type TradingState = "live" | "stale" | "resync" | "halted" | "closed";
/** Levels a side of a book. */
export type Depth = 10 | 25 | 100 | 500;
/** How long a bar lasts. */
export type Interval = "1s" | "1m" | "5m" | "1h";
/** A field of a ticker that a subscription can be limited to. */
export type TickerField =
  | "last" | "lastSize" | "bid" | "bidSize" | "ask" | "askSize" | "open" | "high" | "low" | "volume";
/** Which side was the aggressor. */
export type Side = "buy" | "sell";
/** Decimal text; null: there is no value now (an empty side); undefined: not subscribed to. */
export type Decimal = string | null | undefined;

/** What every state object says. The objects are the SDK's own and are changed in place. */
export interface StreamState {
  readonly symbol: string;
  /** Identity of this run of sequence numbers. */
  readonly epoch: number;
  readonly seq: number;
  /**
   * The instrument's trading status; `stale` also while what is held is not known to be current:
   * the connection is down, the stream is not confirmed yet after a reconnect, a gap is being healed.
   */
  readonly state: TradingState;
  /** Whether `state` is `stale` or `resync`: the values may not be current. */
  readonly stale: boolean;
  /** When the service encoded the last message of this stream, µs. */
  readonly tsPublish: number;
  /** When that message was received here, ms since the Unix epoch with a fraction. */
  readonly receivedAt: number;
}

/** Best bid and ask, last trade and the venue's rolling day. */
export interface Ticker extends StreamState {
  readonly last: Decimal;
  readonly lastSize: Decimal;
  readonly bid: Decimal;
  readonly bidSize: Decimal;
  readonly ask: Decimal;
  readonly askSize: Decimal;
  readonly open: Decimal;
  readonly high: Decimal;
  readonly low: Decimal;
  readonly volume: Decimal;
  /** The venue's time, µs; 0 where it gives none. */
  readonly tsEvent: number;
}

/** Price and size of one level of a book. */
export type Level = readonly [price: string, size: string];

/** A book of `depth` levels a side. */
export interface Book extends StreamState {
  readonly depth: number;
  /** Best (highest) first. */
  readonly bids: readonly Level[];
  /** Best (lowest) first. */
  readonly asks: readonly Level[];
  /** CRC-32 of the best ten levels of each side, as the service told it. */
  readonly checksum: number;
  /** The venue's time, µs; 0 where it gives none. */
  readonly tsEvent: number;
}

export interface Trade {
  readonly seq: number;
  /** The venue's identity of the trade. */
  readonly id: string;
  readonly price: string;
  readonly size: string;
  readonly side: Side;
  /** The venue's time, µs. */
  readonly tsEvent: number;
}

export interface Trades extends StreamState {
  /** Oldest first; at most `keep` of them. */
  readonly trades: readonly Trade[];
  /** Those that the last message brought. In frames and iterators, which may leave messages out, use `after`. */
  readonly fresh: readonly Trade[];
  /** How many trades are known to have been missed since the subscription began. */
  readonly missed: number;
  /** The kept trades whose `seq` is above this one. */
  after(seq: number): readonly Trade[];
}

export interface Bar {
  /** When the interval began, µs. */
  readonly start: number;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: string;
  readonly trades: number;
  /** Closed bars are only sent again when a late trade changes them. */
  readonly closed: boolean;
}

export interface Bars extends StreamState {
  readonly interval: Interval;
  /** Oldest first; at most `keep` of them. */
  readonly bars: readonly Bar[];
  /** Those that the last message brought or replaced. */
  readonly changed: readonly Bar[];
}

/** Which state object a channel has. */
export interface ChannelState {
  ticker: Ticker;
  trades: Trades;
  book: Book;
  bars: Bars;
}

export interface TickerOptions {
  /** Updates per second and symbol at most; absent: real time. */
  readonly maxRate?: number | undefined;
  /** Which fields; absent: all. */
  readonly fields?: readonly TickerField[] | undefined;
}
export interface TradesOptions {
  readonly maxRate?: number | undefined;
  /** `false`: begin with no trades. */
  readonly snapshot?: boolean | undefined;
  /** How many trades are kept here, 1 to 10,000; 500 when absent. */
  readonly keep?: number | undefined;
}
export interface BookOptions {
  readonly maxRate?: number | undefined;
  /** Levels a side; 10 when absent. */
  readonly depth?: Depth | undefined;
}
export interface BarsOptions {
  readonly maxRate?: number | undefined;
  /** `1m` when absent. */
  readonly interval?: Interval | undefined;
  /** How many bars are kept here, 1 to 10,000; 1,000 when absent. */
  readonly keep?: number | undefined;
}
/** Which options a channel has. */
export interface ChannelOptions {
  ticker: TickerOptions;
  trades: TradesOptions;
  book: BookOptions;
  bars: BarsOptions;
}

/** What the service granted; it may differ from what was asked for. */
export interface Granted {
  /** Absent: real time. */
  readonly maxRate?: number | undefined;
  readonly fields?: readonly TickerField[] | undefined;
  readonly depth?: number | undefined;
  readonly interval?: Interval | undefined;
  readonly globs: readonly { readonly pattern: string; readonly matched: number }[];
}

/** Why a symbol of a subscription is not served: 4404 unknown, 4403 not entitled, … */
export interface Failure {
  readonly code: number;
  readonly error: string;
}

export interface SubscriptionEvents<T> {
  /** A state object changed (also when only its `state` did). */
  update: (state: T) => void;
  granted: (granted: Granted) => void;
  failed: (symbol: string, failure: Failure) => void;
}

/** One call of `ticker`, `trades`, `book` or `bars`. Ends with `close()`. */
export interface Subscription<C extends Channel = Channel> extends AsyncIterable<ChannelState[C]> {
  readonly id: number;
  readonly channel: C;
  /** Names and patterns as asked for. */
  readonly symbols: readonly string[];
  readonly options: Readonly<ChannelOptions[C]>;
  readonly closed: boolean;
  readonly granted: Granted | undefined;
  readonly failed: ReadonlyMap<string, Failure>;
  /** How many instruments are held. */
  readonly size: number;
  get(symbol: string): ChannelState[C] | undefined;
  values(): IterableIterator<ChannelState[C]>;
  /** Changes the named options in place; the others stay. */
  change(options: ChannelOptions[C]): void;
  /** Replaces names and patterns; what stays goes on without a new snapshot. */
  setSymbols(symbols: string | readonly string[]): void;
  /** Returns what ends it. */
  on<E extends keyof SubscriptionEvents<ChannelState[C]>>(
    event: E, listener: SubscriptionEvents<ChannelState[C]>[E]): () => void;
  /** Once per animation frame (every 16 ms where there are none) with what changed. Returns what ends it. */
  onFrame(listener: (changed: ReadonlySet<ChannelState[C]>) => void): () => void;
  /**
   * Yields each state object that changed, the one that has waited longest first. An object that changes again
   * while it waits is yielded once, so a slow reader gets fewer, fresher states and no queue grows.
   * Throws the failure when every name and pattern has failed, so that nothing will come.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChannelState[C]>;
  close(): void;
}

export type ConnectionState = "connecting" | "live" | "reconnecting" | "closed";

/** Always the same object, changed in place. */
export interface ConnectionInfo {
  readonly state: ConnectionState;
  readonly transport: "websocket" | "sse";
  /** `json` or `protobuf`, as agreed with the service. */
  readonly encoding: string;
  readonly session: string | undefined;
  /** Of the service. */
  readonly version: string | undefined;
  /** When `state` was entered, ms. */
  readonly since: number;
  /** Tries since the connection was last live. */
  readonly attempt: number;
  /** In `reconnecting`: when the next try is made, ms. */
  readonly nextAttemptAt: number | undefined;
  /** Why the connection was lost, or closed for good. */
  readonly reason: { readonly code?: number | undefined; readonly text: string } | undefined;
  /** How often a lost connection was replaced. */
  readonly reconnects: number;
  /** How many streams were asked for again after a gap. */
  readonly resyncs: number;
  readonly checksumFailures: number;
  /** Trades known to be missed, all subscriptions. */
  readonly missedTrades: number;
  readonly messages: number;
  /** Payload received: bytes of binary messages, characters of text. */
  readonly bytes: number;
  readonly lastMessageAt: number | undefined;
  /** The service is going away; it serves until `closesAt` (ms). */
  readonly goaway: { readonly closesAt: number; readonly reason: string } | undefined;
  readonly heartbeatMs: number | undefined;
  /** The service's clock less ours, µs, from pings. WebSocket only. */
  readonly clockOffsetUs: number | undefined;
  readonly rttUs: number | undefined;
}

export interface StatusChange {
  readonly symbol: string;
  readonly state: TradingState;
  readonly previous: TradingState | undefined;
}

/** The service's count of this connection. */
export interface Stats {
  readonly subscriptions: number;
  readonly instruments: number;
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly mergedUpdates: number;
  readonly lagging: boolean;
  readonly owedTopics: number;
  readonly rttUs: number | undefined;
  readonly connectedUs: number;
}

export interface Instrument {
  readonly symbol: string;
  readonly venue: string;
  readonly venueSymbol: string;
  /** Null where the venue gives none. */
  readonly tickSize: string | null;
  readonly lotSize: string | null;
  readonly state: TradingState;
}

export interface ConnectEvents {
  /** `connection` changed in something other than its counters. */
  connection: (info: ConnectionInfo) => void;
  /** An instrument's status changed, as the service tells it. */
  status: (change: StatusChange) => void;
  /** A fault that nobody else is told of; without a listener it goes to `console.warn`. */
  error: (error: Error) => void;
  /** Every message, decoded, as it came; `size` as in `ConnectionInfo.bytes`. */
  message: (message: unknown, size: number) => void;
}

/** What the SDK needs of a WebSocket class: those of browsers, Node 22 and the package `ws` have it. */
export interface WebSocketLike {
  binaryType: string;
  readonly protocol: string;
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** An encoding beside JSON: the one of `tickcast/protobuf`. */
export interface Codec {
  readonly name: string;
  /** The WebSocket subprotocol. */
  readonly subprotocol: string;
  /** A decoder for one connection: it remembers the numbers of streams. */
  connection(): CodecConnection;
}
export interface CodecConnection {
  /** The JSON message that these bytes say. */
  decode(bytes: Uint8Array): unknown;
  /** The bytes of a request given as its JSON object. */
  encode(request: unknown): Uint8Array<ArrayBuffer>;
}

export type TokenSource = string | (() => string | Promise<string>);

export interface ConnectOptions {
  /** A token, or what gets a new one each time that one is needed. */
  readonly token?: TokenSource | undefined;
  /** `json` when absent; else `protobuf` of `tickcast/protobuf`. SSE is always JSON. */
  readonly encoding?: "json" | Codec | undefined;
  /** `auto` when absent: WebSocket, and SSE where it is blocked. */
  readonly transport?: "auto" | "websocket" | "sse" | undefined;
  /** Whether each book is compared with its checksum, and asked for again where it differs. */
  readonly verifyChecksums?: boolean | undefined;
  /** Between two tries: `base` (500) doubles up to `max` (30,000), each drawn at random from its upper half. */
  readonly backoffMs?: { readonly base?: number | undefined; readonly max?: number | undefined } | undefined;
  /** Where there is no global one (Node 20); else the package `ws` is used if installed, else SSE. */
  readonly WebSocket?: WebSocketConstructor | undefined;
  /** Closes the connection when aborted. */
  readonly signal?: AbortSignal | undefined;
}

type Subscribe<C extends Channel> = {
  (symbols: string | readonly string[], onUpdate?: (state: ChannelState[C]) => void): Subscription<C>;
  (symbols: string | readonly string[], options: ChannelOptions[C] | undefined,
    onUpdate?: (state: ChannelState[C]) => void): Subscription<C>;
};

/** A connection to the service; it reconnects by itself until it is closed. */
export interface Tickcast {
  readonly ticker: Subscribe<"ticker">;
  readonly trades: Subscribe<"trades">;
  readonly book: Subscribe<"book">;
  readonly bars: Subscribe<"bars">;
  readonly connection: ConnectionInfo;
  /** Returns what ends it. */
  on<E extends keyof ConnectEvents>(event: E, listener: ConnectEvents[E]): () => void;
  /** An instrument's status: as told, or `stale` while the connection is not live. */
  status(symbol: string): TradingState | undefined;
  /** Asks the service for its count of this connection. WebSocket only. */
  stats(): Promise<Stats>;
  /** REST `/v1/instruments`. */
  instruments(glob?: string): Promise<Instrument[]>;
  /** REST `/v1/snapshot`: the `data` items of the message, as sent. */
  snapshot(channel: Channel, symbols: string | readonly string[],
    options?: { readonly depth?: Depth | undefined; readonly interval?: Interval | undefined }):
    Promise<Record<string, unknown>[]>;
  /** Drops the present connection and connects again at once, with all subscriptions. */
  reconnect(): void;
  close(): void;
}
