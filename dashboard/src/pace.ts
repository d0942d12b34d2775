// How long the slow link waits for what it has read. Pure.
//
// A line of a given speed is busy until it has carried what came. Nothing is heard during one wait,
// so none is long: what is left is waited for after the next messages.

/** The longest wait after one message. */
export const WAIT_MS_MAX = 250;
/** Short waits are gathered: the thread is woken no finer than this. */
const WAIT_MS_MIN = 4;
/** What the line may owe at most: large snapshots are carried faster, so that a switch is heard soon. */
export const OWED_MS_MAX = 2_000;
/** Waking late is paid back up to this, so that the speed is right on the whole. */
const CREDIT_MS_MAX = 50;

export class Pace {
  #busyUntil = -Infinity;

  /** The line is idle. */
  clear(): void { this.#busyUntil = -Infinity; }

  /** A message of `bytes` was read at `now` (ms); answers how long to wait for it. */
  wait(bytes: number, bytesPerSecond: number, now: number): number {
    const begin = Math.max(this.#busyUntil, now - CREDIT_MS_MAX);
    this.#busyUntil = Math.min(begin + (bytes / bytesPerSecond) * 1_000, now + OWED_MS_MAX);
    const owed = this.#busyUntil - now;
    return owed < WAIT_MS_MIN ? 0 : Math.min(owed, WAIT_MS_MAX);
  }
}
