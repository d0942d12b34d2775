// The page's clock and, by the SDK's estimate, the service's.

/** Milliseconds since the Unix epoch, finer than `Date.now()`. */
export const now = (): number => performance.timeOrigin + performance.now();

let offsetMs = 0;

/** The service's clock less ours, as pings tell it. */
export function align(clockOffsetUs: number | undefined): void {
  if (clockOffsetUs !== undefined) offsetMs = clockOffsetUs / 1_000;
}

/** Our time of a moment of the service's clock, ms. */
export const local = (serviceUs: number): number => serviceUs / 1_000 - offsetMs;

/** How long ago something happened by the service's clock, ms. */
export const ageMs = (serviceUs: number): number => now() - local(serviceUs);
