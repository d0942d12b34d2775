// Where tokens come from, and when a new one is needed.

import { now } from "./clock.js";
import { TickcastError, textOf } from "./fault.js";
import type { TokenSource } from "./types.js";

/** How long the application's callback may take, ms. */
const TOKEN_WITHIN_MS = 30_000;
/** A token is renewed when a fifth of its life is left, but not earlier and not later than this before its end, ms. */
const LEAD_MS_MAX = 60_000;
const LEAD_MS_MIN = 500;
/** A token that ends sooner is not worth showing, ms. */
const LEFT_MS_MIN = 1_000;
/** Timers take no longer times. */
const WAIT_MS_MAX = 2 ** 31 - 1;

export class Tokens {
  #latest: string | undefined;

  constructor(readonly source: TokenSource | undefined) {
    if (typeof source === "string") this.#latest = source;
    else if (source !== undefined && typeof source !== "function") {
      throw new TypeError(`token: ${String(source)} is neither a string nor a function`);
    }
  }

  /** Whether another one can be had. */
  get canRenew(): boolean {
    return typeof this.source === "function";
  }

  /** The one that was used last; a new one where there is none yet, or it has expired. */
  latest(): Promise<string | undefined> {
    const latest = this.#latest;
    const isGood = latest !== undefined && (endOf(latest) ?? Infinity) - now() > LEFT_MS_MIN;
    return isGood ? Promise.resolve(latest) : this.renew();
  }

  /** A new one, where there is a callback. */
  async renew(): Promise<string | undefined> {
    if (typeof this.source !== "function") return this.source;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const overdue = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`nothing within ${TOKEN_WITHIN_MS} ms`)), TOKEN_WITHIN_MS);
    });
    try {
      const token: unknown = await Promise.race([this.source(), overdue]);
      if (typeof token !== "string" || token === "") throw new TypeError("the callback gave no string");
      return (this.#latest = token);
    } catch (error) {
      throw new TickcastError(`token: ${textOf(error)}`, undefined, error);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** When a token ends, ms, as far as it says so itself (RFC 7519, section 4.1.4). */
export function endOf(token: string): number | undefined {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const { exp } = JSON.parse(atob(payload)) as { exp?: unknown };
    return typeof exp === "number" ? exp * 1000 : undefined;
  } catch {
    return undefined; // No JWT: the service will say what it thinks of it.
  }
}

/** In how many ms a token that ends in `leftMs` has to be renewed. */
export function renewalIn(leftMs: number): number {
  const lead = Math.min(LEAD_MS_MAX, Math.max(LEAD_MS_MIN, leftMs / 5));
  return Math.min(WAIT_MS_MAX, Math.max(0, leftMs - lead));
}
