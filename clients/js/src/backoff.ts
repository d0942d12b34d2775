// How long to wait between two tries: doubling up to a maximum, each drawn from its upper half, so
// that clients that were lost together do not come back together.

const BASE_MS = 500;
const MAX_MS = 30_000;

export class Backoff {
  readonly base: number;
  readonly max: number;
  #failures = 0;

  /** @throws TypeError that names the option and its value. */
  constructor(options: { readonly base?: number | undefined; readonly max?: number | undefined } = {}, readonly random = Math.random) {
    this.base = options.base ?? BASE_MS;
    this.max = options.max ?? Math.max(MAX_MS, this.base);
    for (const [name, value] of [["base", this.base], ["max", this.max]] as const) {
      if (!(value > 0) || !Number.isFinite(value)) throw new TypeError(`backoffMs.${name}: ${value} is not a number above 0`);
    }
    if (this.max < this.base) throw new TypeError(`backoffMs.max: ${this.max} is less than base, ${this.base}`);
  }

  /** How long to wait after one more failure, ms. */
  next(): number {
    const full = Math.min(this.max, this.base * 2 ** this.#failures);
    this.#failures += 1;
    return full * (0.5 + this.random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
