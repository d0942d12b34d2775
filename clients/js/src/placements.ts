// What is subscribed to on the wire: one placement for each channel, name or pattern[, interval],
// however many of the application's subscriptions hold it.

import { isGlob, matches } from "./pattern.js";
import type { Reader } from "./stream.js";
import type { Channel, Failure, Interval } from "./types.js";
import type { GrantedResult, WireOptions } from "./wire.js";

/** A subscription, as its placements see it. */
export interface Holder extends Reader {
  readonly channel: Channel;
  readonly wire: WireOptions;
  readonly keep: number;
  /** These patterns of its are served, with these options. */
  grant(result: GrantedResult, patterns: readonly string[]): void;
  fail(symbol: string, failure: Failure): void;
  /** An instrument is no longer served to it. */
  drop(symbol: string): void;
}

export interface Placement {
  readonly channel: Channel;
  readonly pattern: string;
  readonly interval: Interval | undefined;
  readonly isGlob: boolean;
  /** In the order in which they came; the options of the last one count. */
  readonly holders: Holder[];
  wire: WireOptions;
  /** Equal for placements that one request can hold. */
  group: string;
  /** `due`: has to be requested; `asked`: the answer is awaited; `failed`: refused. */
  phase: "due" | "asked" | "granted" | "failed";
  /** Why it was refused. */
  code: number;
  /** The request whose answer counts. */
  reqId: number;
  /** When it was asked for, then when it was granted. */
  at: number;
}

const keyOf = (channel: Channel, interval: Interval | undefined, pattern: string): string =>
  `${channel}/${interval ?? ""}/${pattern}`;

export class Placements {
  readonly #all = new Map<string, Placement>();
  readonly #globs = new Set<Placement>();

  /** In the order in which they were made: of two globs the later one's options win. */
  all(): IterableIterator<Placement> {
    return this.#all.values();
  }

  get(channel: Channel, interval: Interval | undefined, pattern: string): Placement | undefined {
    return this.#all.get(keyOf(channel, interval, pattern));
  }

  /** Lets a subscription hold a pattern, or hold it with other options. */
  hold(holder: Holder, pattern: string): Placement {
    const { channel, wire } = holder;
    const key = keyOf(channel, wire.interval, pattern);
    let placement = this.#all.get(key);
    if (placement === undefined) {
      placement = {
        channel, pattern, interval: wire.interval, isGlob: isGlob(pattern), holders: [], wire, group: "", phase: "due",
        code: 0, reqId: 0, at: 0,
      };
      this.#all.set(key, placement);
      if (placement.isGlob) this.#globs.add(placement);
    }
    const at = placement.holders.indexOf(holder);
    if (at >= 0) placement.holders.splice(at, 1);
    placement.holders.push(holder);
    this.#settle(placement);
    return placement;
  }

  /** Ends it for one subscription; gives the placement if nobody holds it any more. */
  release(holder: Holder, interval: Interval | undefined, pattern: string): Placement | undefined {
    const key = keyOf(holder.channel, interval, pattern);
    const placement = this.#all.get(key);
    const at = placement?.holders.indexOf(holder) ?? -1;
    if (placement === undefined || at < 0) return undefined;
    placement.holders.splice(at, 1);
    if (placement.holders.length > 0) {
      this.#settle(placement);
      return undefined;
    }
    this.#all.delete(key);
    this.#globs.delete(placement);
    return placement;
  }

  /** The options of the latest holder are those on the wire. */
  #settle(placement: Placement): void {
    const wire = placement.holders[placement.holders.length - 1]?.wire ?? placement.wire;
    const group = `${placement.channel} ${JSON.stringify(wire)}`;
    if (group === placement.group) return;
    placement.wire = wire;
    placement.group = group;
    placement.phase = "due";
  }

  /** The placements that mean an instrument; the first one's options are those it is served by. */
  covering(channel: Channel, interval: Interval | undefined, symbol: string): Placement[] {
    const found: Placement[] = [];
    const exact = this.get(channel, interval, symbol);
    const bare = this.get(channel, interval, symbol.slice(symbol.indexOf(":") + 1));
    if (exact !== undefined) found.push(exact);
    if (bare !== undefined && bare !== exact && !bare.isGlob) found.push(bare);
    const globs: Placement[] = [];
    for (const glob of this.#globs) {
      if (glob.channel === channel && glob.interval === interval && matches(glob.pattern, symbol)) globs.push(glob);
    }
    return found.concat(globs.reverse());
  }
}
