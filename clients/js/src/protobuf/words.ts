// The words of the schema's enums in the order of their numbers; number 0 says nothing, except of sides.

import type { Channel, Interval, Side, TradingState } from "../types.js";

export const METHODS = [undefined, "subscribe", "unsubscribe", "auth", "ping", "stats"] as const;
export const CHANNELS: readonly (Channel | "status" | undefined)[] = [undefined, "status", "ticker", "trades", "book", "bars"];
export const STATES: readonly (TradingState | undefined)[] = [undefined, "live", "stale", "resync", "halted", "closed"];
export const SIDES: readonly (Side | undefined)[] = ["buy", "sell"];
export const INTERVALS: readonly (Interval | undefined)[] = [undefined, "1s", "1m", "5m", "1h"];
/** The fields of a ticker; field n of the message `Ticker` is word n − 5. */
export const FIELDS = [
  undefined, "last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume",
] as const;
