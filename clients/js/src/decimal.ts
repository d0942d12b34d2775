// Decimal text as the service sends it: padded to the instrument's scale, never turned into a float.

const integerDigits = (text: string): number => {
  const point = text.indexOf(".");
  return point < 0 ? text.length : point;
};

/** Below 0, 0 or above 0. Both have the same number of decimals, as all prices of one epoch have. */
export function compareDecimals(a: string, b: string): number {
  const aIsNegative = a.charCodeAt(0) === 45;
  const bIsNegative = b.charCodeAt(0) === 45;
  if (aIsNegative !== bIsNegative) return aIsNegative ? -1 : 1;
  const longer = integerDigits(a) - integerDigits(b);
  const order = longer !== 0 ? longer : a < b ? -1 : a > b ? 1 : 0;
  return aIsNegative ? -order : order;
}
