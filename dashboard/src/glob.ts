// Which symbols a text means: the patterns of the protocol, and the freer search of the page.

/** `*` stands for any run of characters, everything else for itself. */
export function glob(pattern: string): (symbol: string) => boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const regexp = new RegExp(`^${parts.join(".*")}$`);
  return (symbol) => regexp.test(symbol);
}

/** The list in a text box: patterns and names, between commas or spaces, each once. */
export function patterns(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter((part) => part !== ""))];
}

/** Whether one of the patterns names the symbol; a name without a venue means any venue. */
export function isAmong(symbol: string, wanted: readonly string[]): boolean {
  const bare = symbol.slice(symbol.indexOf(":") + 1);
  return wanted.some((pattern) => {
    const matches = glob(pattern);
    return matches(symbol) || (!pattern.includes(":") && !pattern.includes("*") && matches(bare));
  });
}

/**
 * The search: every word must match. A word with `*` is a pattern for the whole symbol or for what
 * follows the venue; any other one begins a part of the symbol (`btc`, `kraken`, `btc-u`).
 */
export function search(text: string): (symbol: string) => boolean {
  const words = text.trim().toLowerCase().split(/\s+/).filter((word) => word !== "").map(word);
  return (symbol) => {
    const name = symbol.toLowerCase();
    return words.every((matches) => matches(name));
  };
}

function word(wanted: string): (name: string) => boolean {
  if (wanted.includes("*")) {
    const matches = glob(wanted);
    return (name) => matches(name) || matches(name.slice(name.indexOf(":") + 1));
  }
  return (name) => {
    for (let at = name.indexOf(wanted); at >= 0; at = name.indexOf(wanted, at + 1)) {
      if (at === 0 || SEPARATOR.test(name.charAt(at - 1))) return true;
    }
    return false;
  };
}

/** What parts of a symbol are between: `:`, `-`, `/`, `.` and whatever else is no letter and no digit. */
const SEPARATOR = /[^\p{L}\p{N}]/u;
