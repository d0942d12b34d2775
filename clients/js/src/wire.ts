// The messages of protocol version 1 as JSON says them; every encoding is decoded to these.
//
// They are what the service promises, not what was checked: whoever reads a message looks at
// `channel` and `method` first and ignores what it does not know.

import type { Channel, Interval, Side, TradingState } from "./types.js";

/** Where an item stands in its stream; only updates have `prev`. */
export interface Item {
  readonly symbol: string;
  readonly epoch: number;
  readonly seq: number;
  readonly prev?: number;
  /** In snapshots. */
  readonly state?: TradingState;
}
export interface StatusItem extends Item {
  readonly state: TradingState;
  readonly ts_state: number;
}
type WireDecimal = string | null;
export interface TickerItem extends Item {
  readonly last?: WireDecimal;
  readonly last_size?: WireDecimal;
  readonly bid?: WireDecimal;
  readonly bid_size?: WireDecimal;
  readonly ask?: WireDecimal;
  readonly ask_size?: WireDecimal;
  readonly open?: WireDecimal;
  readonly high?: WireDecimal;
  readonly low?: WireDecimal;
  readonly volume?: WireDecimal;
  readonly ts_event: number;
  readonly ts_publish: number;
}
export interface BookItem extends Item {
  readonly depth: number;
  readonly bids: [string, string][];
  readonly asks: [string, string][];
  readonly checksum: number;
  readonly ts_event: number;
  readonly ts_publish: number;
}
export interface WireTrade {
  readonly seq: number;
  readonly id: string;
  readonly price: string;
  readonly size: string;
  readonly side: Side;
  readonly ts_event: number;
}
export interface TradesItem extends Item {
  readonly trades: WireTrade[];
  readonly ts_publish: number;
}
export interface WireBar {
  readonly start: number;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: string;
  readonly trades: number;
  readonly closed: boolean;
}
export interface BarsItem extends Item {
  readonly interval: Interval;
  readonly bars: WireBar[];
  readonly ts_publish: number;
}

/** A push of data or status. */
export interface DataMessage {
  readonly channel: Channel | "status";
  /** `unknown`: an update of a stream whose number this connection was never told; only of codecs. */
  readonly type: "snapshot" | "update" | "unknown";
  readonly data: readonly Item[];
}
export interface Limits {
  readonly subscriptions?: number;
  readonly instruments?: number;
  readonly message_bytes?: number;
}
export interface Welcome {
  readonly session: string;
  readonly version: string;
  readonly heartbeat_ms: number;
  readonly auth_required: boolean;
  readonly limits?: Limits;
}
export interface Goaway {
  readonly reconnect_after_ms: number;
  readonly reason: string;
}

/** What `subscribe` and `unsubscribe` are answered with. */
export interface GrantedResult {
  readonly channel: Channel;
  /** Full names of the exact names that are served. */
  readonly symbol: readonly string[];
  readonly globs?: readonly { readonly pattern: string; readonly matched: number }[];
  readonly failed?: readonly { readonly symbol: string; readonly code: number; readonly error: string }[];
  readonly max_rate?: number;
  readonly fields?: readonly string[];
  readonly depth?: number;
  readonly interval?: Interval;
}
export interface AuthResult {
  readonly sub: string;
  /** Unix seconds. */
  readonly expires: number;
  /** They were narrower before. */
  readonly limits?: Limits;
}
export interface StatsResult {
  readonly subscriptions: number;
  readonly instruments: number;
  readonly sent_messages: number;
  readonly sent_bytes: number;
  readonly merged_updates: number;
  readonly lagging: boolean;
  readonly owed_topics: number;
  readonly rtt_us?: number;
  readonly connected_us: number;
}
/** An answer to a request; a `pong` has neither `success` nor `result`. */
export interface Answer {
  readonly method?: string;
  readonly req_id?: number | string;
  readonly success?: boolean;
  readonly result?: unknown;
  readonly code?: number;
  readonly error?: string;
  readonly ts_publish?: number;
}

export interface Since {
  readonly epoch: number;
  readonly seq: number;
}
/** A stream that is held by nobody: only a snapshot answers it. */
export const NOTHING: Since = { epoch: 0, seq: 0 };

/** The options of a subscription in the names of the wire. */
export interface WireOptions {
  readonly max_rate?: number;
  readonly fields?: readonly string[];
  readonly depth?: number;
  readonly interval?: Interval;
  readonly snapshot?: boolean;
}
export interface SubscribeParams extends WireOptions {
  readonly channel: Channel;
  readonly symbol: readonly string[];
  since?: Record<string, Since>;
}
export type Request =
  | { method: "subscribe"; req_id: number; params: SubscribeParams }
  | { method: "unsubscribe"; req_id: number; params: { channel: Channel; symbol: readonly string[]; interval?: Interval } }
  | { method: "auth"; req_id: number; params: { token: string } }
  | { method: "ping" | "stats"; req_id: number };
