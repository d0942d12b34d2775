// How numbers and times are put into words. Prices are never formatted here: they are shown with
// the digits that the service sent.

export const NOTHING = "–";

const compact = new Intl.NumberFormat("en", {
  notation: "compact", minimumFractionDigits: 1, maximumFractionDigits: 1,
});
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A size short enough for a column; four decimals stand under each other. */
export function shortSize(text: string | null | undefined): string {
  if (text == null) return NOTHING;
  const size = Number(text);
  if (!Number.isFinite(size)) return NOTHING;
  if (size >= 10_000) return compact.format(size);
  if (size > 0 && size < 0.0001) return size.toExponential(1);
  return size.toFixed(size >= 100 ? 2 : 4);
}

/** A volume: always compact. */
export function shortVolume(text: string | null | undefined): string {
  if (text == null || !Number.isFinite(Number(text))) return NOTHING;
  return compact.format(Number(text));
}

export function count(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? NOTHING : whole.format(value);
}

/** For small rates a decimal, so that one message in three seconds is not nothing. */
export function rate(value: number): string {
  if (!Number.isFinite(value)) return NOTHING;
  return value > 0 && value < 10 ? value.toFixed(1) : whole.format(value);
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return NOTHING;
  if (value < 1_000) return `${value.toFixed(0)} B`;
  if (value < 1_000_000) return `${(value / 1_000).toFixed(value < 10_000 ? 2 : 1)} kB`;
  if (value < 1_000_000_000) return `${(value / 1_000_000).toFixed(2)} MB`;
  return `${(value / 1_000_000_000).toFixed(2)} GB`;
}

/** How old something is. Below ten seconds with a decimal; the venue's clock may be ahead of ours. */
export function age(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (!Number.isFinite(seconds)) return NOTHING;
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** A latency; below zero where clocks disagree, which is said and not hidden. */
export function latency(ms: number | null): string {
  if (ms === null || !Number.isFinite(ms)) return NOTHING;
  const size = Math.abs(ms);
  const sign = ms < 0 ? "\u2212" : "";
  if (size < 0.1) return `${sign}${(size * 1_000).toFixed(0)} µs`;
  if (size < 10) return `${sign}${size.toFixed(1)} ms`;
  if (size < 1_000) return `${sign}${size.toFixed(0)} ms`;
  return sign + age(size);
}

/** A delay between two clocks, or what it is below. */
export const delay = (one: { readonly ms: number; readonly isBound: boolean } | null): string =>
  (one?.isBound ? "< " : "") + latency(one?.ms ?? null);

export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** The time of day here, of microseconds since the Unix epoch. */
export function timeOfDay(micros: number): string {
  if (micros <= 0) return NOTHING;
  const date = new Date(micros / 1_000);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Date and time in UTC to the microsecond. */
export function instant(micros: number | undefined): string {
  if (!micros || micros <= 0) return NOTHING;
  const rest = String(Math.floor(micros % 1_000)).padStart(3, "0");
  return new Date(Math.floor(micros / 1_000)).toISOString().replace("T", " ").replace("Z", `${rest} UTC`);
}
