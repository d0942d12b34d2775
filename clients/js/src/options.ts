// The options of a subscription and of a connection: read strictly, so that a misspelt one is not
// silently ignored; those of a subscription are turned into the names of the wire.

import { BARS_KEPT } from "./bars.js";
import { TICKER_FIELDS } from "./ticker.js";
import { TRADES_KEPT } from "./trades.js";
import type { Channel, ChannelOptions, ConnectOptions } from "./types.js";
import type { WireOptions } from "./wire.js";

const KEEP_MAX = 10_000;
const DEPTHS: readonly unknown[] = [10, 25, 100, 500];
const INTERVALS: readonly unknown[] = ["1s", "1m", "5m", "1h"];
const KNOWN: Readonly<Record<Channel, readonly string[]>> = {
  ticker: ["maxRate", "fields"],
  trades: ["maxRate", "snapshot", "keep"],
  book: ["maxRate", "depth"],
  bars: ["maxRate", "interval", "keep"],
};

const KNOWN_OF_CONNECT: readonly string[] = [
  "token", "encoding", "transport", "verifyChecksums", "backoffMs", "WebSocket", "signal",
] satisfies (keyof ConnectOptions)[];
const TRANSPORTS: readonly unknown[] = ["auto", "websocket", "sse"];

export interface ReadOptions {
  readonly wire: WireOptions;
  /** How many trades or bars are kept. */
  readonly keep: number;
}

function fault(name: string, value: unknown, expected: string): never {
  const shown = typeof value === "string" ? `"${value}"` : String(value);
  throw new TypeError(`options.${name}: ${shown} is not ${expected}`);
}

function readFields(value: unknown): string[] {
  const names: ReadonlyMap<unknown, string> = TICKER_FIELDS;
  if (!Array.isArray(value) || value.length === 0) fault("fields", value, "an array of at least one field");
  const fields = new Set<string>();
  (value as unknown[]).forEach((field, at) => {
    const name = names.get(field);
    if (name === undefined) fault(`fields[${at}]`, field, `one of ${[...TICKER_FIELDS.keys()].join(", ")}`);
    fields.add(name as string);
  });
  // In the protocol's order, so that equal sets are equal requests.
  return [...TICKER_FIELDS.values()].filter((name) => fields.has(name));
}

/** @throws TypeError that names the option and its value. */
export function readOptions<C extends Channel>(channel: C, options: ChannelOptions[C]): ReadOptions {
  const wire: { -readonly [K in keyof WireOptions]: WireOptions[K] } = {};
  let keep = channel === "trades" ? TRADES_KEPT : BARS_KEPT;
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (!KNOWN[channel].includes(name)) {
      throw new TypeError(`options.${name}: no option of ${channel}; known are ${KNOWN[channel].join(", ")}`);
    }
    if (value === undefined) continue;
    switch (name) {
      case "maxRate":
        if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value)) fault(name, value, "a number above 0");
        wire.max_rate = value as number;
        break;
      case "fields":
        wire.fields = readFields(value);
        break;
      case "depth":
        if (!DEPTHS.includes(value)) fault(name, value, `one of ${DEPTHS.join(", ")}`);
        wire.depth = value as number;
        break;
      case "interval":
        if (!INTERVALS.includes(value)) fault(name, value, `one of ${INTERVALS.join(", ")}`);
        break;
      case "snapshot":
        if (typeof value !== "boolean") fault(name, value, "true or false");
        if (value === false) wire.snapshot = false;
        break;
      case "keep":
        if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > KEEP_MAX) {
          fault(name, value, `an integer from 1 to ${KEEP_MAX}`);
        }
        keep = value as number;
        break;
    }
  }
  if (channel === "bars") wire.interval = (options as ChannelOptions["bars"]).interval ?? "1m";
  return { wire, keep };
}

/**
 * What can be wrong with the options of a connection, beside what `Tokens` and `Backoff` find.
 *
 * @throws TypeError that names the option and its value.
 */
export function checkConnectOptions(options: ConnectOptions): void {
  for (const name of Object.keys(options)) {
    if (!KNOWN_OF_CONNECT.includes(name)) throw new TypeError(`options.${name}: no option of connect; known are ${KNOWN_OF_CONNECT.join(", ")}`);
  }
  const { encoding, transport, verifyChecksums, backoffMs } = options;
  if (encoding !== undefined && encoding !== "json" && typeof (encoding as { connection?: unknown } | null)?.connection !== "function") {
    fault("encoding", encoding, '"json" or the protobuf of tickcast/protobuf');
  }
  if (transport !== undefined && !TRANSPORTS.includes(transport)) fault("transport", transport, `one of ${TRANSPORTS.join(", ")}`);
  if (verifyChecksums !== undefined && typeof verifyChecksums !== "boolean") fault("verifyChecksums", verifyChecksums, "true or false");
  if (backoffMs !== undefined && (typeof backoffMs !== "object" || backoffMs === null)) fault("backoffMs", backoffMs, "an object with base and max");
}
