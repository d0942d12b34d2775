// One stream (an instrument on a channel, of bars each interval by itself): what is held of it,
// whether that is current, and who reads it. What differs between channels is in the subclasses.

import { Rule } from "./rule.js";
import type { Channel, ChannelState, Interval, StreamState, TradingState } from "./types.js";
import type { Item } from "./wire.js";

/** What applications see, as the SDK itself may write it. */
export type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** A subscription, as a stream sees it. */
export interface Reader<C extends Channel = Channel> {
  changed(view: ChannelState[C]): void;
}

export abstract class Stream<C extends Channel = Channel> {
  readonly rule = new Rule();
  readonly readers: Reader<C>[] = [];
  abstract readonly channel: C;
  abstract readonly view: ChannelState[C];
  /** Only of bars. */
  readonly interval: Interval | undefined = undefined;
  /** Something of it has come, so that there is something to show. */
  seen = false;
  /** Something of it has come on this connection, so it is known to be current. */
  confirmed = false;
  /** Something is known to be missing. */
  missing = false;
  /** When it is to be asked for again; undefined: not at all. */
  askAt: number | undefined = undefined;
  /** When it was last asked for, and how often in a row. */
  askedAt = -Infinity;
  tries = 0;

  constructor(readonly symbol: string) {}

  /** Whether an item is of the depth that is held. */
  shows(_item: Item): boolean {
    return true;
  }

  /**
   * Takes over the values of an item that the rule has let through; `mine` is the seq that was
   * held of its epoch before. False: what is held now cannot be right.
   */
  abstract apply(item: Item, isSnapshot: boolean, mine: number | undefined): boolean;

  /** Writes what is said of the instrument's status; true when that is news. */
  show(state: TradingState): boolean {
    const view: Writable<StreamState> = this.view;
    if (view.state === state) return false;
    view.state = state;
    view.stale = state === "stale" || state === "resync";
    return true;
  }

  /** Only the state has changed: what is told now brings nothing else. */
  quiet(): void {}

  tell(): void {
    // From the end, since a reader may leave while it is told.
    for (let i = this.readers.length - 1; i >= 0; i--) this.readers[i]?.changed(this.view);
  }
}

/** The part of a view that all channels have, before anything is known. */
export const emptyState = (symbol: string): Writable<StreamState> => ({
  symbol, epoch: 0, seq: 0, state: "stale", stale: true, tsPublish: 0, receivedAt: 0,
});
