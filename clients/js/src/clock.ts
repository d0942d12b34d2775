// Times: one clock for everything that the SDK says in milliseconds, and the distance to the service's clock.

/** Milliseconds since the Unix epoch, with a fraction, never going back while the page lives. */
export const now = (): number => performance.timeOrigin + performance.now();

/** How many pings are remembered; the one with the shortest way there and back is believed. */
const SAMPLES_MAX = 8;

/** Estimates the service's clock less ours from pings (as NTP does: half the way there, half the way back). */
export class ClockOffset {
  #samples: { offsetUs: number; rttUs: number }[] = [];

  /** A ping left at `sentAt` and its answer, written at `tsPublish` (µs), came at `receivedAt`. */
  add(sentAt: number, receivedAt: number, tsPublish: number): void {
    const rttUs = Math.round((receivedAt - sentAt) * 1000);
    const offsetUs = Math.round(tsPublish - (sentAt + receivedAt) * 500);
    this.#samples.push({ offsetUs, rttUs });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  get best(): { readonly offsetUs: number; readonly rttUs: number } | undefined {
    return this.#samples.reduce<{ offsetUs: number; rttUs: number } | undefined>(
      (best, sample) => (best === undefined || sample.rttUs <= best.rttUs ? sample : best), undefined);
  }

  reset(): void {
    this.#samples = [];
  }
}
