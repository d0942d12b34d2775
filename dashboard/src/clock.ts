// The page's clock and, by the SDK's estimate, the service's.

/** Milliseconds since the Unix epoch, finer than `Date.now()`. */
export const now = (): number => performance.timeOrigin + performance.now();

let offsetMs = 0;

/** The service's clock less ours, ms, as pings tell it. */
export function align(ms: number | undefined): void {
  if (ms !== undefined) offsetMs = ms;
}

/** How long ago something happened by the service's clock, ms. */
export const ageMs = (serviceUs: number): number => now() - serviceUs / 1_000 + offsetMs;
