// What is held: streams with their readers, statuses, and which streams miss something.
//
// Decides what an application sees of a stream's state; judges no messages.

import { Again } from "./again.js";
import type { BarsStream } from "./bars.js";
import { isGlob, matches } from "./pattern.js";
import { type Holder, type Placement, Placements } from "./placements.js";
import { Statuses } from "./statuses.js";
import type { Stream } from "./stream.js";
import { Streams } from "./streams.js";
import type { TradesStream } from "./trades.js";
import type { Channel, Failure, Interval, TradingState } from "./types.js";

export class Holdings {
  readonly placements = new Placements();
  readonly again = new Again();
  readonly statuses = new Statuses();
  readonly streams: Streams;
  /** The connection can be asked, and what comes over it is current. */
  isLive = false;

  constructor(verifiesBooks: boolean) {
    this.streams = new Streams(verifiesBooks);
  }

  /** A stream that is held, or is to be from now on; undefined when nobody subscribes to it. */
  open(channel: Channel, interval: Interval | undefined, symbol: string): Stream | undefined {
    const held = this.streams.get(channel, interval, symbol);
    if (held !== undefined) return held;
    const covering = this.placements.covering(channel, interval, symbol);
    if (covering.length === 0) return undefined;
    const stream = this.streams.open(channel, interval, symbol);
    for (const holder of new Set(covering.flatMap((placement) => placement.holders))) this.#attach(stream, holder);
    return stream;
  }

  /** The streams that a pattern means. */
  *#meant(channel: Channel, interval: Interval | undefined, pattern: string): IterableIterator<Stream> {
    if (!isGlob(pattern) && pattern.includes(":")) {
      const stream = this.streams.get(channel, interval, pattern);
      if (stream !== undefined) yield stream;
      return;
    }
    for (const stream of this.streams.all(channel, interval)) if (matches(pattern, stream.symbol)) yield stream;
  }

  /** A subscription holds a placement now: what is held already is told to it at once. */
  attach(holder: Holder, { channel, interval, pattern }: Placement): void {
    for (const stream of this.#meant(channel, interval, pattern)) {
      if (stream.readers.includes(holder)) continue;
      this.#attach(stream, holder);
      // Not before the application has the subscription in its hands.
      if (stream.seen) queueMicrotask(() => stream.readers.includes(holder) && holder.changed(stream.view));
    }
  }

  /** A subscription holds that pattern no longer; what nobody holds is let go. */
  release(holder: Holder, interval: Interval | undefined, pattern: string): void {
    for (const stream of [...this.#meant(holder.channel, interval, pattern)]) {
      const covering = this.placements.covering(stream.channel, stream.interval, stream.symbol);
      if (covering.length === 0) this.drop(stream);
      else if (!covering.some((placement) => placement.holders.includes(holder))) this.#detach(stream, holder);
    }
  }

  #attach(stream: Stream, holder: Holder): void {
    stream.readers.push(holder);
    if (stream.channel === "trades" || stream.channel === "bars") {
      const kept = stream as unknown as TradesStream | BarsStream;
      kept.keep = stream.readers.length === 1 ? holder.keep : Math.max(kept.keep, holder.keep);
    }
  }

  #detach(stream: Stream, holder: Holder): void {
    const at = stream.readers.indexOf(holder);
    if (at < 0) return;
    stream.readers.splice(at, 1);
    holder.drop(stream.symbol);
  }

  drop(stream: Stream): void {
    for (const reader of [...stream.readers]) this.#detach(stream, reader as Holder);
    this.again.done(stream);
    this.streams.delete(stream);
    for (const _other of this.streams.of(stream.symbol)) return;
    this.statuses.delete(stream.symbol);
  }

  /** A name, a pattern or an instrument of a pattern is not served. */
  fail(channel: Channel, interval: Interval | undefined, symbol: string, failure: Failure, now: number): void {
    const holders = new Set<Holder>();
    const placement = this.placements.get(channel, interval, symbol);
    if (placement !== undefined) {
      placement.phase = "failed";
      placement.code = failure.code;
      placement.at = now;
      for (const holder of placement.holders) holders.add(holder);
    }
    const stream = this.streams.get(channel, interval, symbol);
    if (stream !== undefined) {
      for (const reader of stream.readers) holders.add(reader as Holder);
      this.drop(stream);
    }
    for (const holder of holders) holder.fail(symbol, failure);
  }

  /** The placement whose options a stream is served by. */
  winner(stream: Stream): Placement | undefined {
    return this.placements.covering(stream.channel, stream.interval, stream.symbol)[0];
  }

  stateOf(stream: Stream): TradingState {
    const isCurrent = this.isLive && stream.confirmed && !stream.missing;
    return isCurrent ? this.statuses.get(stream.symbol) ?? "resync" : "stale";
  }

  /** Tells the readers if what they see of the state has changed. */
  refresh(stream: Stream): void {
    if (!stream.seen || !stream.show(this.stateOf(stream))) return;
    stream.quiet();
    stream.tell();
  }

  /** It is known to be current. */
  confirm(stream: Stream): void {
    stream.confirmed = true;
    this.again.done(stream);
  }
}
