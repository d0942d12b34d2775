// A subscription of the application's: its symbols and options, the views that it reads, and whom
// it tells of changes.

import { Events, guard } from "./events.js";
import { TickcastError } from "./fault.js";
import { Batch, type Frames } from "./frames.js";
import { Changes } from "./iterator.js";
import { readOptions } from "./options.js";
import { readPatterns } from "./pattern.js";
import type { Holder } from "./placements.js";
import type { Session } from "./session.js";
import { TICKER_FIELDS } from "./ticker.js";
import type {
  Channel, ChannelOptions, ChannelState, Failure, Granted, Subscription, SubscriptionEvents, TickerField,
} from "./types.js";
import type { GrantedResult, WireOptions } from "./wire.js";

/** What a subscription needs of the connection that it belongs to. */
export interface Home {
  readonly session: Session;
  readonly frames: Frames;
  /** Why the service has closed the connection for good. */
  readonly ending: Error | undefined;
  /** A failure that no listener of the subscription hears of. */
  unheard(channel: Channel, symbol: string, failure: Failure): void;
  /** The subscription has ended. */
  left(subscription: { end(error: Error | undefined): void }): void;
}

const FIELD_OF_WIRE: ReadonlyMap<string, TickerField> =
  new Map([...TICKER_FIELDS].map(([field, name]) => [name, field]));

export class LiveSubscription<C extends Channel> implements Subscription<C>, Holder {
  symbols: readonly string[] = [];
  options: Readonly<ChannelOptions[C]>;
  closed = false;
  granted: Granted | undefined = undefined;
  readonly failed = new Map<string, Failure>();
  /** The options in the names of the wire, and how many trades or bars are kept. */
  wire: WireOptions;
  keep: number;
  readonly #home: Home;
  readonly #views = new Map<string, ChannelState[C]>();
  readonly #events = new Events<SubscriptionEvents<ChannelState[C]>>();
  readonly #batches = new Set<Batch<ChannelState[C]>>();
  readonly #iterators = new Set<Changes<ChannelState[C]>>();

  constructor(
    home: Home, readonly id: number, readonly channel: C, symbols: string | readonly string[],
    options: ChannelOptions[C], readonly onUpdate: ((state: ChannelState[C]) => void) | undefined,
  ) {
    this.#home = home;
    ({ wire: this.wire, keep: this.keep } = readOptions(channel, options));
    this.options = { ...options };
    this.setSymbols(symbols);
  }

  // ------------------------------------------------------------ for the application

  get size(): number {
    return this.#views.size;
  }

  get(symbol: string): ChannelState[C] | undefined {
    const view = this.#views.get(symbol);
    if (view !== undefined || symbol.includes(":")) return view;
    for (const [full, found] of this.#views) if (full.slice(full.indexOf(":") + 1) === symbol) return found;
    return undefined;
  }

  values(): IterableIterator<ChannelState[C]> {
    return this.#views.values();
  }

  change(options: ChannelOptions[C]): void {
    this.#checkOpen("change");
    const merged = { ...this.options, ...options };
    const before = this.wire.interval;
    ({ wire: this.wire, keep: this.keep } = readOptions(this.channel, merged));
    this.options = merged;
    for (const pattern of this.symbols) this.#home.session.hold(this, pattern);
    if (this.wire.interval !== before) {
      for (const pattern of this.symbols) this.#home.session.release(this, before, pattern);
    }
  }

  setSymbols(symbols: string | readonly string[]): void {
    this.#checkOpen("setSymbols");
    const patterns = readPatterns(symbols);
    const before = new Set(this.symbols);
    this.symbols = patterns;
    for (const pattern of patterns) if (!before.has(pattern)) this.#home.session.hold(this, pattern);
    const kept = new Set(patterns);
    for (const pattern of before) {
      if (kept.has(pattern)) continue;
      this.failed.delete(pattern);
      this.#home.session.release(this, this.wire.interval, pattern);
    }
    const ending = this.#nothingServed();
    if (ending !== undefined) this.end(ending);
  }

  on<E extends keyof SubscriptionEvents<ChannelState[C]>>(
    event: E, listener: SubscriptionEvents<ChannelState[C]>[E]): () => void {
    return this.#events.on(event, listener);
  }

  onFrame(listener: (changed: ReadonlySet<ChannelState[C]>) => void): () => void {
    const batch = new Batch<ChannelState[C]>(this.#home.frames, (changed) => guard(listener, changed));
    this.#batches.add(batch);
    return () => {
      this.#batches.delete(batch);
      batch.close();
    };
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<ChannelState[C]> {
    const changes = new Changes<ChannelState[C]>((closed) => this.#iterators.delete(closed));
    for (const view of this.#views.values()) changes.add(view);
    const ending = this.#home.ending ?? this.#nothingServed();
    if (this.closed || ending !== undefined) changes.end(ending);
    else this.#iterators.add(changes);
    return changes;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const pattern of this.symbols) this.#home.session.release(this, this.wire.interval, pattern);
    this.end(undefined);
    for (const batch of this.#batches) batch.close();
    this.#batches.clear();
    this.#events.clear();
    this.#home.left(this);
  }

  #checkOpen(method: string): void {
    if (this.closed) throw new Error(`${method}: the subscription is closed`);
  }

  // ------------------------------------------------------------ for the session

  changed(view: ChannelState[C]): void {
    if (!this.#views.has(view.symbol)) this.#views.set(view.symbol, view);
    if (this.onUpdate !== undefined) guard(this.onUpdate, view);
    this.#events.emit("update", view);
    for (const batch of this.#batches) batch.add(view);
    for (const iterator of this.#iterators) iterator.add(view);
  }

  grant(result: GrantedResult, patterns: readonly string[]): void {
    for (const pattern of patterns) this.failed.delete(pattern);
    const globs = new Map((this.granted?.globs ?? []).map((glob) => [glob.pattern, glob]));
    for (const glob of result.globs ?? []) if (patterns.includes(glob.pattern)) globs.set(glob.pattern, glob);
    const mine = [...globs.values()].filter((glob) => this.symbols.includes(glob.pattern));
    this.granted = {
      maxRate: result.max_rate,
      fields: result.fields?.flatMap((name) => FIELD_OF_WIRE.get(name) ?? []),
      depth: result.depth,
      interval: result.interval,
      globs: mine,
    };
    this.#events.emit("granted", this.granted);
  }

  fail(symbol: string, failure: Failure): void {
    const known = this.failed.get(symbol);
    if (known?.code === failure.code && known.error === failure.error) return;
    this.failed.set(symbol, failure);
    if (this.#events.has("failed")) this.#events.emit("failed", symbol, failure);
    else this.#home.unheard(this.channel, symbol, failure);
    const ending = this.#nothingServed();
    if (ending !== undefined) this.end(ending);
  }

  /** Why nothing will come: every name and pattern has failed. The first one's failure is told. */
  #nothingServed(): TickcastError | undefined {
    const first = this.failed.get(this.symbols[0] ?? "");
    if (first === undefined || !this.symbols.every((symbol) => this.failed.has(symbol))) return undefined;
    return new TickcastError(first.error, first.code);
  }

  drop(symbol: string): void {
    this.#views.delete(symbol);
  }

  /** No more will come: iterators end, with an error if there is one. */
  end(error: Error | undefined): void {
    for (const iterator of this.#iterators) iterator.end(error);
    this.#iterators.clear();
  }
}
