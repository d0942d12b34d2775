// The bars of an instrument and an interval, oldest first.

import { emptyState, Stream, type Writable } from "./stream.js";
import type { Bar, Bars, Interval, StreamState } from "./types.js";
import type { BarsItem } from "./wire.js";

export const BARS_KEPT = 1_000;

interface BarsView extends Writable<StreamState>, Omit<Writable<Bars>, "bars" | keyof StreamState> {
  bars: Bar[];
}

export class BarsStream extends Stream<"bars"> {
  readonly channel = "bars";
  readonly view: BarsView;
  /** The most that one of its subscriptions wants kept. */
  keep = BARS_KEPT;

  constructor(symbol: string, override readonly interval: Interval) {
    super(symbol);
    this.view = { ...emptyState(symbol), interval, bars: [], changed: [] };
  }

  override quiet(): void {
    this.view.changed = [];
  }

  override apply(item: BarsItem, isSnapshot: boolean): boolean {
    const view = this.view;
    if (isSnapshot) view.bars = [];
    for (const bar of item.bars) this.#put(bar);
    if (view.bars.length > this.keep) view.bars.splice(0, view.bars.length - this.keep);
    view.changed = item.bars;
    view.tsPublish = item.ts_publish;
    return true;
  }

  /** Nearly always the last one or the one after it; a late trade sends an older one again. */
  #put(bar: Bar): void {
    const bars = this.view.bars;
    let at = bars.length;
    while (at > 0 && (bars[at - 1]?.start ?? 0) > bar.start) at--;
    if (bars[at - 1]?.start === bar.start) bars[at - 1] = bar;
    else bars.splice(at, 0, bar);
  }
}
