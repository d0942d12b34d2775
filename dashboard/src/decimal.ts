// Arithmetic on the decimal strings of the protocol, exact: prices never go through a binary float
// where a person reads them. Mantissas are bigints, scales are counts of decimals.

export interface Decimal { readonly mantissa: bigint; readonly scale: number }

/** What a service may send; anything else is no decimal. */
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;
/** The longest text that is read: the protocol's volumes have at most 39 digits. */
const DIGITS_MAX = 64;

export function parse(text: string | null | undefined): Decimal | null {
  if (text == null || text.length > DIGITS_MAX) return null;
  const found = DECIMAL.exec(text);
  if (!found) return null;
  const [, sign, whole, fraction = ""] = found;
  const mantissa = BigInt(whole! + fraction);
  return { mantissa: sign ? -mantissa : mantissa, scale: fraction.length };
}

function mantissaAt({ mantissa, scale }: Decimal, wanted: number): bigint {
  return mantissa * 10n ** BigInt(wanted - scale);
}

/** a − b, at the finer of the two scales. */
export function subtract(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { mantissa: mantissaAt(a, scale) - mantissaAt(b, scale), scale };
}

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { mantissa: mantissaAt(a, scale) + mantissaAt(b, scale), scale };
}

/** part / whole × factor with that many decimals, halves away from zero; null where whole is 0. */
export function ratio(part: Decimal, whole: Decimal, factor: number, decimals: number): Decimal | null {
  const scale = Math.max(part.scale, whole.scale);
  const divisor = mantissaAt(whole, scale);
  if (divisor === 0n) return null;
  const dividend = mantissaAt(part, scale) * BigInt(factor) * 10n ** BigInt(decimals);
  return { mantissa: roundedQuotient(dividend, divisor), scale: decimals };
}

function roundedQuotient(dividend: bigint, divisor: bigint): bigint {
  const isNegative = dividend < 0n !== divisor < 0n;
  const top = dividend < 0n ? -dividend : dividend;
  const bottom = divisor < 0n ? -divisor : divisor;
  const rounded = (2n * top + bottom) / (2n * bottom);
  return isNegative ? -rounded : rounded;
}

export function text({ mantissa, scale }: Decimal): string {
  const isNegative = mantissa < 0n;
  const digits = (isNegative ? -mantissa : mantissa).toString().padStart(scale + 1, "0");
  const sign = isNegative ? "-" : "";
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** With a sign in front, a true minus among them, so that columns of both align. */
export function signed(value: Decimal): string {
  if (value.mantissa === 0n) return text(value);
  return value.mantissa > 0n ? `+${text(value)}` : `\u2212${text(value).slice(1)}`;
}

export interface Change { readonly amount: string; readonly percent: string; readonly sign: -1 | 0 | 1 }

/** The day's change: last − open, and in percent of open. */
export function dayChange(last: string | null | undefined, open: string | null | undefined): Change | null {
  const [now, then] = [parse(last), parse(open)];
  if (!now || !then) return null;
  const amount = subtract(now, then);
  const percent = ratio(amount, then, 100, 2);
  if (!percent) return null;
  const sign = amount.mantissa > 0n ? 1 : amount.mantissa < 0n ? -1 : 0;
  return { amount: signed(amount), percent: `${signed(percent)}%`, sign };
}

export interface Spread { readonly amount: string; readonly basisPoints: string | null }

/** ask − bid, and in hundredths of a percent of the middle; negative where the quote is crossed. */
export function spread(bid: string | null | undefined, ask: string | null | undefined): Spread | null {
  const [low, high] = [parse(bid), parse(ask)];
  if (!low || !high) return null;
  const amount = subtract(high, low);
  // amount / ((bid + ask) / 2) × 10,000
  const points = ratio(amount, add(low, high), 20_000, 1);
  return { amount: text(amount).replace("-", "\u2212"), basisPoints: points && text(points).replace("-", "\u2212") };
}

/** Running sums of decimal texts at their finest scale; what is no decimal counts as nothing. */
export function runningSums(sizes: readonly string[]): Decimal[] {
  const parsed = sizes.map((size) => parse(size) ?? { mantissa: 0n, scale: 0 });
  const scale = parsed.reduce((most, one) => Math.max(most, one.scale), 0);
  let sum = 0n;
  return parsed.map((one) => {
    sum += mantissaAt(one, scale);
    return { mantissa: sum, scale };
  });
}
