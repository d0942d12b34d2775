// What the service tells of each instrument's status: a stream of its own, which is never resumed.

import type { TradingState } from "./types.js";
import type { StatusItem } from "./wire.js";

interface Told {
  epoch: number;
  seq: number;
  state: TradingState;
}

export class Statuses {
  readonly #told = new Map<string, Told>();

  get(symbol: string): TradingState | undefined {
    return this.#told.get(symbol)?.state;
  }

  /** The instruments of which a status was told. */
  symbols(): IterableIterator<string> {
    return this.#told.keys();
  }

  /** A new connection begins: what it says counts, wherever it stands. */
  reconnected(): void {
    for (const told of this.#told.values()) told.epoch = told.seq = 0;
  }

  /**
   * Takes a status in; false when it is older than what is known. It says all there is to say, so
   * that one is missing before it makes no difference.
   */
  take(item: StatusItem, isSnapshot: boolean): boolean {
    const told = this.#told.get(item.symbol);
    if (told === undefined) {
      this.#told.set(item.symbol, { epoch: item.epoch, seq: item.seq, state: item.state });
      return true;
    }
    if (item.epoch < told.epoch) return false;
    if (!isSnapshot && item.epoch === told.epoch && item.seq <= told.seq) return false;
    told.epoch = item.epoch;
    told.seq = item.seq;
    told.state = item.state;
    return true;
  }

  /** What a snapshot says of a status that was never told. */
  assume(symbol: string, state: TradingState): void {
    if (!this.#told.has(symbol)) this.#told.set(symbol, { epoch: 0, seq: 0, state });
  }

  delete(symbol: string): void {
    this.#told.delete(symbol);
  }
}
