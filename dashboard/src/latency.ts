// Medians of the latest latencies. Pure.

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
