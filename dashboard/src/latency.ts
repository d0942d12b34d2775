// Medians of the latest latencies, and those of another clock by the estimate of its offset. Pure.

const KEPT_MAX = 128;

export class Latency {
  readonly #kept = new Float64Array(KEPT_MAX);
  #next = 0;
  #length = 0;

  add(ms: number): void {
    if (!Number.isFinite(ms)) return;
    this.#kept[this.#next] = ms;
    this.#next = (this.#next + 1) % KEPT_MAX;
    this.#length = Math.min(this.#length + 1, KEPT_MAX);
  }

  clear(): void { this.#next = this.#length = 0; }

  /** null where nothing is known. */
  median(): number | null {
    if (this.#length === 0) return null;
    const sorted = this.#kept.slice(0, this.#length).sort();
    return sorted[this.#length >> 1]!;
  }
}

/** Another clock less ours, ms, and how wrong that may be: half the round trip that told it. */
export interface Offset {
  readonly ms: number;
  readonly errorMs: number;
}

/** How many round trips it takes to believe the best of them: the first is answered while the page loads. */
const ROUND_TRIPS_MIN = 2;

/** The offset to go by: the present connection's when enough round trips tell it, till then the one before. */
export class OffsetEstimate {
  #session: string | undefined;
  #roundTrips = 0;
  #believed: Offset | undefined;

  /** A ping was answered. */
  answered(): void { this.#roundTrips += 1; }

  /** What the connection of that session says now; answers what is believed, if anything is. */
  take(session: string | undefined, offsetUs: number | undefined, rttUs: number | undefined): Offset | undefined {
    if (session !== this.#session) {
      this.#session = session;
      this.#roundTrips = 0;
    }
    if (this.#roundTrips >= ROUND_TRIPS_MIN && offsetUs !== undefined && rttUs !== undefined) {
      this.#believed = { ms: offsetUs / 1_000, errorMs: rttUs / 2_000 };
    }
    return this.#believed;
  }
}

/** A median delay from another clock to ours. Less than nothing cannot be: then all that is known is what it is below. */
export function delayOf(median: number | null, offset: Offset | undefined): { readonly ms: number; readonly isBound: boolean } | null {
  if (median === null || !offset) return null;
  const ms = median + offset.ms;
  if (ms >= 0) return { ms, isBound: false };
  // By more than the estimate can be wrong: one of the clocks was set.
  return -ms <= offset.errorMs ? { ms: offset.errorMs, isBound: true } : null;
}
