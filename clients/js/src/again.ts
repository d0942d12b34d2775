// Which streams have to be asked for again, and when: gathered, and each with a back-off of its own,
// so that a service that answers wrongly each time is not asked in a tight loop.

import type { Stream } from "./stream.js";

/** Between two requests for the same stream while nothing that helps comes in; doubles up to the maximum. */
const RETRY_MS = 3_000;
const RETRY_MS_MAX = 60_000;
/** Between two gaps of the same stream; doubles up to the maximum, and is forgotten after as long without one. */
const GAP_MS = 100;
const GAP_MS_MAX = 10_000;
/** How long a stream that was subscribed to may let itself be waited for: the longer the more are awaited. */
const FIRST_MS = 5_000;
const FIRST_MS_EACH = 10;

export class Again {
  readonly #due = new Set<Stream>();

  /** Something is missing in a stream. */
  gap(stream: Stream, now: number): void {
    if (stream.missing) return;
    stream.missing = true;
    this.check(stream, now);
  }

  /** Something may be missing. */
  check(stream: Stream, now: number): void {
    if (now - stream.askedAt > GAP_MS_MAX) stream.tries = 0;
    const pause = stream.tries === 0 ? 0 : Math.min(GAP_MS_MAX, GAP_MS * 2 ** stream.tries);
    stream.askAt = Math.max(now, stream.askedAt + pause);
    this.#due.add(stream);
  }

  /** It was subscribed to; its first message may get lost. */
  expect(stream: Stream, now: number): void {
    if (stream.askAt !== undefined && stream.missing) return;
    this.#due.add(stream);
    stream.askAt = now + FIRST_MS + FIRST_MS_EACH * this.#due.size;
  }

  /** It was asked for just now. */
  asked(stream: Stream, now: number): void {
    stream.askedAt = now;
    stream.askAt = now + Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** stream.tries);
    stream.tries += 1;
  }

  /** It is whole, or nobody's business any more. */
  done(stream: Stream): void {
    stream.missing = false;
    if (stream.askAt === undefined) return;
    stream.askAt = undefined;
    this.#due.delete(stream);
  }

  /** Those whose time has come. */
  at(now: number): Stream[] {
    const due: Stream[] = [];
    for (const stream of this.#due) if ((stream.askAt ?? Infinity) <= now) due.push(stream);
    return due;
  }

  get nextAt(): number {
    let next = Infinity;
    for (const stream of this.#due) next = Math.min(next, stream.askAt ?? Infinity);
    return next;
  }
}
