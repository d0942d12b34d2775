// The client's rule: what to do with a snapshot or an update, the same for every channel.
//
// Knows neither channels nor values; whoever holds values asks it first.

import type { Item, Since } from "./wire.js";

/** `gap`: something is missing, ask again for this symbol only. */
export type Verdict = "applied" | "ignored" | "gap";

/** What is held of one stream, and the newest epoch of it that this connection has seen. */
export class Rule {
  /** Whether anything is held. */
  held = false;
  epoch = 0;
  seq = 0;
  /** Epochs of different connections may come from different services and are never compared. */
  #newest = 0;

  /** What may be claimed with `since`. */
  get since(): Since | undefined {
    return this.held ? { epoch: this.epoch, seq: this.seq } : undefined;
  }

  /** A new connection begins: what is held stays. */
  reconnected(): void {
    this.#newest = 0;
  }

  /** Gives up what is held: only a snapshot helps. */
  forget(): void {
    this.held = false;
  }

  /** Judges an item and, when it is applied, takes its place over. `sameView`: its depth is the one that is held. */
  judge(item: Item, isSnapshot: boolean, sameView: boolean): Verdict {
    if (item.epoch < this.#newest) return "ignored";
    this.#newest = item.epoch;
    if (isSnapshot) {
      this.held = true;
      this.epoch = item.epoch;
      this.seq = item.seq;
      return "applied";
    }
    if (!this.held || item.epoch !== this.epoch) return "gap";
    if (item.seq <= this.seq) return "ignored";
    if (!sameView || item.prev === undefined || item.prev > this.seq) return "gap";
    this.seq = item.seq;
    return "applied";
  }
}
