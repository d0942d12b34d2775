// Requests that wait for their answers.

import type { Answer } from "./wire.js";

/** How long an answer may take, ms. */
const ANSWER_WITHIN_MS = 5_000;

interface Call {
  readonly at: number;
  /** Gets undefined when no answer has come. */
  readonly done: (answer: Answer | undefined, now: number) => void;
}

export class Calls {
  #last = 0;
  readonly #waiting = new Map<number, Call>();

  /** The `req_id` for a request that is sent now. */
  begin(now: number, done: Call["done"]): number {
    this.#last += 1;
    this.#waiting.set(this.#last, { at: now, done });
    return this.#last;
  }

  /** False: nobody asked for it. */
  answered(answer: Answer, now: number): boolean {
    const call = typeof answer.req_id === "number" ? this.#waiting.get(answer.req_id) : undefined;
    if (call === undefined) return false;
    this.#waiting.delete(answer.req_id as number);
    call.done(answer, now);
    return true;
  }

  /** Gives up those whose answers are overdue. */
  expire(now: number): void {
    for (const [id, call] of this.#waiting) {
      if (now - call.at < ANSWER_WITHIN_MS) return; // Those behind it are younger.
      this.#waiting.delete(id);
      call.done(undefined, now);
    }
  }

  /** When `expire` has something to do next. */
  get expiresAt(): number {
    for (const call of this.#waiting.values()) return call.at + ANSWER_WITHIN_MS;
    return Infinity;
  }

  /** The connection is gone. */
  clear(now: number): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of waiting) call.done(undefined, now);
  }
}
