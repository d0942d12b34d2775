// The slow link: a worker that really reads slowly. After each message it blocks for as long as a
// slow line would have needed for it (in slices, `pace.ts`), so nothing else takes messages out of the socket: the
// browser's and the kernel's buffers fill, and the service sees a client that is slow. What it
// cannot send it merges.
//
// The switch asks for more than the page shows, measures for a moment what comes, then connects
// anew (the kernel gives a line that was fast a buffer of megabytes, a new one a small one) and
// reads half as fast. What lies in the buffers on the way is read first, so the rows are behind by
// the time that this takes, and by no more, however long it goes on.

import type { Subscription, Tickcast } from "tickcast";
import { Pace } from "./pace.js";

const SHARE = 1 / 2;
/** Slower, and the kernel would open its window again so seldom that nothing seems to move. */
const BYTES_PER_SECOND_MIN = 16_000;
/** How long the traffic is measured before it is slowed down, and what of that does not count: snapshots. */
const MEASURE_MS = 3_000;
/** Of so many instruments more is asked for; their first snapshots are some 100 kB each. */
export const LOAD_INSTRUMENTS_MAX = 100;
const SETTLE_MS = 1_000;

/** Something to wait on that never comes; null where the browser has no such memory. */
function cell(): Int32Array | null {
  try {
    // Shared memory without cross-origin isolation; it is never handed to anybody.
    return new Int32Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
  } catch {
    return null;
  }
}

const nothing = cell();

/** Blocks this thread, without using the processor where that can be done. */
function block(ms: number): void {
  if (nothing) {
    Atomics.wait(nothing, 0, 0, ms);
    return;
  }
  const end = performance.now() + ms;
  while (performance.now() < end) { /* Nothing may run here: that is the point. */ }
}

/**
 * What a slow link is slow with: deep books, trades and bars in real time, beside what the page
 * shows. A few quiet tickers would fit through any line.
 */
class Load {
  #subscriptions: Subscription[] = [];

  begin(tick: Tickcast, symbols: readonly string[]): void {
    this.end();
    if (symbols.length === 0) return;
    this.#subscriptions = [tick.book(symbols, { depth: 500 }), tick.trades(symbols, { keep: 1 }),
      tick.bars(symbols, { interval: "1s", keep: 1 })];
  }

  end(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.close();
  }
}

export interface SlowState {
  /** Bytes a second that are read; null while the traffic is measured. */
  readonly speed: number | null;
  /** Bytes a second that came before. */
  readonly traffic: number | null;
}

export class SlowLink {
  readonly #load = new Load();
  #tick: Tickcast | null = null;
  #since: number | null = null;
  #bytes = 0;
  #traffic: number | null = null;
  readonly #pace = new Pace();
  /** The connection is replaced by a slow one. */
  #isReplacing = false;

  get isOn(): boolean { return this.#since !== null; }

  get state(): SlowState | null {
    if (!this.isOn) return null;
    return { traffic: this.#traffic, speed: this.#speed };
  }

  get #speed(): number | null {
    return this.#traffic === null ? null : Math.max(BYTES_PER_SECOND_MIN, this.#traffic * SHARE);
  }

  /**
   * Begins on a connection that is live, also anew with other symbols; `symbols` are those of the load.
   * Without messages there would be nothing to measure.
   */
  begin(tick: Tickcast, symbols: readonly string[]): void {
    this.#since = performance.now();
    this.#traffic = null;
    this.#bytes = 0;
    this.#isReplacing = false;
    this.#pace.clear();
    this.#tick = tick;
    this.#load.begin(tick, symbols);
  }

  end(): void {
    this.#since = this.#tick = null;
    this.#load.end();
  }

  /** A connection has become live; true when it is the one that was asked for, to go on with. */
  replaced(): boolean {
    const was = this.#isReplacing;
    this.#isReplacing = false;
    return was;
  }

  /** A message of that size was read. */
  read(size: number): void {
    if (this.#since === null) return;
    const speed = this.#speed;
    if (speed === null) {
      this.#measure(size, performance.now() - this.#since);
      return;
    }
    const waitMs = this.#pace.wait(size, speed, performance.now());
    if (waitMs > 0) block(waitMs);
  }

  #measure(size: number, elapsedMs: number): void {
    if (elapsedMs < SETTLE_MS) return;
    this.#bytes += size;
    if (elapsedMs < MEASURE_MS) return;
    this.#traffic = (this.#bytes / (elapsedMs - SETTLE_MS)) * 1_000;
    this.#isReplacing = true;
    this.#tick?.reconnect();
  }
}
