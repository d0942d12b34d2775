// What of the page stands in its address, so that a link brings somebody else the same view.
// The token stands behind `#`, which browsers do not send to the service.

export const INTERVALS = ["1s", "1m", "5m", "1h"] as const;
export const DEPTHS = [10, 25, 100, 500] as const;
/** Updates per second and instrument; 0 is real time. */
export const RATES = [0, 10, 4, 1] as const;
export const ENCODINGS = ["json", "protobuf"] as const;
export const THEMES = ["auto", "light", "dark"] as const;
export const COLUMNS = ["symbol", "last", "change", "bid", "ask", "spread", "volume", "age", "state"] as const;

export type Interval = (typeof INTERVALS)[number];
export type Depth = (typeof DEPTHS)[number];
export type Rate = (typeof RATES)[number];
export type EncodingName = (typeof ENCODINGS)[number];
export type Theme = (typeof THEMES)[number];
export type Column = (typeof COLUMNS)[number];
export interface Sort { readonly by: Column; readonly isDown: boolean }

export interface Layout {
  /** The patterns that the watchlist subscribes to. */
  symbols: string;
  filter: string;
  /** null: the service's own order, the most active first. */
  sort: Sort | null;
  instrument: string | null;
  interval: Interval;
  depth: Depth;
  rate: Rate;
  encoding: EncodingName;
  theme: Theme;
  /** null: open where there is room. */
  panel: boolean | null;
}

export const DEFAULTS: Readonly<Layout> = {
  symbols: "*", filter: "", sort: null, instrument: null, interval: "1m", depth: 10, rate: 4,
  encoding: "json", theme: "auto", panel: null,
};

const TEXT_MAX = 512;

function one<T>(list: readonly T[], value: unknown, otherwise: T): T {
  return list.find((known) => String(known) === value) ?? otherwise;
}

function sortOf(value: string | null): Sort | null {
  if (!value) return null;
  const isDown = value.startsWith("-");
  const name = isDown ? value.slice(1) : value;
  const by = COLUMNS.find((column) => column === name);
  return by ? { by, isDown } : null;
}

/** Reads a query. What it does not know, or is not among the choices, has its default. */
export function read(query: string): Layout {
  const params = new URLSearchParams(query);
  const text = (name: string) => (params.get(name) ?? "").slice(0, TEXT_MAX);
  const panel = params.get("panel");
  return {
    symbols: text("symbols") || DEFAULTS.symbols,
    filter: text("filter"),
    sort: sortOf(params.get("sort")),
    instrument: text("instrument") || null,
    interval: one(INTERVALS, params.get("interval"), DEFAULTS.interval),
    depth: one(DEPTHS, params.get("depth"), DEFAULTS.depth),
    rate: params.get("rate") === "realtime" ? 0 : one(RATES, params.get("rate"), DEFAULTS.rate),
    encoding: one(ENCODINGS, params.get("encoding"), DEFAULTS.encoding),
    theme: one(THEMES, params.get("theme"), DEFAULTS.theme),
    panel: panel === null ? null : panel !== "closed",
  };
}

/** The shortest query that `read` makes the same layout of; empty where all is as usual. */
export function write(layout: Layout): string {
  const params = new URLSearchParams();
  const put = (name: string, value: string, isUsual: boolean) => {
    if (!isUsual) params.set(name, value);
  };
  put("symbols", layout.symbols, layout.symbols === DEFAULTS.symbols);
  put("filter", layout.filter, layout.filter === "");
  if (layout.sort) params.set("sort", (layout.sort.isDown ? "-" : "") + layout.sort.by);
  if (layout.instrument) params.set("instrument", layout.instrument);
  put("interval", layout.interval, layout.interval === DEFAULTS.interval);
  put("depth", String(layout.depth), layout.depth === DEFAULTS.depth);
  put("rate", layout.rate === 0 ? "realtime" : String(layout.rate), layout.rate === DEFAULTS.rate);
  put("encoding", layout.encoding, layout.encoding === DEFAULTS.encoding);
  put("theme", layout.theme, layout.theme === DEFAULTS.theme);
  put("panel", layout.panel ? "open" : "closed", layout.panel === null);
  // Readable: these have no meaning of their own in a query.
  const query = params.toString().replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/\+/g, "%20");
  return query ? `?${query}` : "";
}

/** The token behind `#token=`, if any. */
export function tokenOf(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, "")).get("token");
}
