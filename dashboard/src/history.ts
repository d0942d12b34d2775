// The prices that a sparkline shows: everything since the page first saw the instrument, in at
// most HISTORY_MAX points. When they are used up every second one goes and the step doubles.

export const HISTORY_MAX = 48;
const STEP_FIRST_MS = 1_000;

export class History {
  readonly #points = new Float64Array(HISTORY_MAX);
  #length = 0;
  #stepMs = STEP_FIRST_MS;
  #at = -Infinity;

  get length(): number { return this.#length; }

  /** Milliseconds between two points. */
  get stepMs(): number { return this.#stepMs; }

  at(index: number): number { return this.#points[index]!; }

  /** Takes a price at a time; answers whether the line has changed. */
  add(price: number, nowMs: number): boolean {
    if (!Number.isFinite(price)) return false;
    if (nowMs - this.#at < this.#stepMs && this.#length > 0) {
      const last = this.#length - 1;
      if (this.#points[last] === price) return false;
      this.#points[last] = price;
      return true;
    }
    if (this.#length === HISTORY_MAX) this.#thin();
    this.#points[this.#length] = price;
    this.#length += 1;
    this.#at = nowMs;
    return true;
  }

  #thin(): void {
    this.#length = HISTORY_MAX / 2;
    for (let index = 0; index < this.#length; index += 1) {
      this.#points[index] = this.#points[2 * index + 1]!;
    }
    this.#stepMs *= 2;
  }

  /** The `d` of an SVG path of that size; empty below two points. */
  path(width: number, height: number): string {
    if (this.#length < 2) return "";
    let [low, high] = [Infinity, -Infinity];
    for (let index = 0; index < this.#length; index += 1) {
      low = Math.min(low, this.#points[index]!);
      high = Math.max(high, this.#points[index]!);
    }
    const step = width / (this.#length - 1);
    const scale = high > low ? height / (high - low) : 0;
    let d = "";
    for (let index = 0; index < this.#length; index += 1) {
      const y = scale ? height - (this.#points[index]! - low) * scale : height / 2;
      d += `${index ? "L" : "M"}${(index * step).toFixed(1)} ${y.toFixed(1)}`;
    }
    return d;
  }
}
