// What may stand where a symbol is asked for: a full name, a bare one, or a glob over full names.

/** The longest name or glob that the service takes, in bytes, and how many `*` a glob may have. */
const SYMBOL_BYTES_MAX = 128;
const STARS_MAX = 8;

export const isGlob = (pattern: string): boolean => pattern.includes("*");

/** Whether a pattern means the instrument of that full name; a bare `BTC-USD` means it on any venue. */
export function matches(pattern: string, symbol: string): boolean {
  if (pattern === symbol) return true;
  if (!isGlob(pattern)) return !pattern.includes(":") && symbol.slice(symbol.indexOf(":") + 1) === pattern;
  const parts = pattern.split("*");
  const head = parts[0] ?? "";
  const tail = parts[parts.length - 1] ?? "";
  if (symbol.length < head.length + tail.length || !symbol.startsWith(head) || !symbol.endsWith(tail)) return false;
  let at = head.length;
  const end = symbol.length - tail.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const part = parts[i] ?? "";
    const found = symbol.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/**
 * Names and patterns, each once.
 *
 * @throws TypeError that names what the service would refuse.
 */
export function readPatterns(symbols: string | readonly string[]): string[] {
  const list: readonly unknown[] = typeof symbols === "string" ? [symbols] : symbols;
  if (!Array.isArray(list)) throw new TypeError(`symbols: ${String(symbols)} is not a string or an array of strings`);
  const encoder = new TextEncoder();
  const patterns = new Set<string>();
  list.forEach((symbol, at) => {
    if (typeof symbol !== "string") throw new TypeError(`symbols[${at}]: ${String(symbol)} is not a string`);
    if (symbol === "") throw new TypeError(`symbols[${at}]: empty`);
    if (encoder.encode(symbol).length > SYMBOL_BYTES_MAX) {
      throw new TypeError(`symbols[${at}]: "${symbol.slice(0, 64)}…" is longer than ${SYMBOL_BYTES_MAX} bytes`);
    }
    if (symbol.split("*").length - 1 > STARS_MAX) {
      throw new TypeError(`symbols[${at}]: "${symbol}" has more than ${STARS_MAX} *`);
    }
    patterns.add(symbol);
  });
  return [...patterns];
}

/** @throws TypeError where a list names nothing: then nothing would ever come. */
export function checkSome(symbols: string | readonly string[]): void {
  if (Array.isArray(symbols) && symbols.length === 0) {
    throw new TypeError("symbols: the list is empty; give at least one name or pattern, such as \"sim:*\"");
  }
}
