// Mantissas as the decimal text that JSON has: padded to the scale.

import type { Integer } from "./reader.js";

export function decimal(mantissa: Integer, scale: number): string {
  const text = String(mantissa);
  if (scale === 0) return text;
  const isNegative = text.charCodeAt(0) === 45;
  const digits = (isNegative ? text.slice(1) : text).padStart(scale + 1, "0");
  const point = digits.length - scale;
  return `${isNegative ? "-" : ""}${digits.slice(0, point)}.${digits.slice(point)}`;
}
