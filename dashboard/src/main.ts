// The page: puts its parts together. The layout is one value, kept in the address; every change of
// it goes through `change`, which tells each part what concerns it.

import { DEPTHS, INTERVALS, RATES, THEMES, read, tokenOf, write, type Layout } from "./address.js";
import { align } from "./clock.js";
import { Choice, byId, setText } from "./elements.js";
import { isAmong, patterns } from "./glob.js";
import { listen } from "./keyboard.js";
import { Latency } from "./latency.js";
import { Link } from "./link.js";
import type { Batch, LinkCopy, Report, Wishes } from "./messages.js";
import { painter } from "./painter.js";
import { Panel } from "./panel.js";
import { Rows } from "./rows.js";
import { Theme } from "./theme.js";
import { TokenForm } from "./tokenform.js";
import { InstrumentView } from "./view.js";
import { Watchlist } from "./watchlist.js";

const FILTER_PAUSE_MS = 120;
/** Where there is no room for it the panel is closed until it is asked for. */
const WIDE = matchMedia("(min-width: 900px) and (min-height: 700px)");

const NARROW = matchMedia("(max-width: 900px)");

let layout: Layout = read(location.search);
let isSlow = false;
const rows = new Rows();
/** By two clocks; the offset between them is added where a median is shown. */
const delays = new Latency();

const link = new Link(hear);
const theme = new Theme(() => view.paint());
const view = new InstrumentView();
const form = new TokenForm((token) => link.tell({ kind: "token", token }));
const watchlist = new Watchlist(rows, {
  sort: (sort) => change({ sort }),
  open: (symbol) => open(symbol),
});
const panel = new Panel({
  rate: (rate) => change({ rate }),
  encoding: (encoding) => change({ encoding }),
  slow: setSlow,
  retry: () => link.tell({ kind: "retry" }),
});
panel.delay = () => delays.median();
const intervals = new Choice(byId("interval"), INTERVALS, String, (interval) => change({ interval }));
const depths = new Choice(byId("depth"), DEPTHS, String, (depth) => change({ depth }));

const wishes = (): Wishes => {
  const { symbols, instrument, interval, depth, rate, encoding } = layout;
  const wanted = patterns(symbols);
  return { symbols: wanted.length > 0 ? wanted : ["*"], instrument, interval, depth, rate, encoding };
};

/** Changes the layout: the address, then every part that it concerns. */
function change(part: Partial<Layout>, isStep = false): void {
  const old = layout;
  layout = { ...layout, ...part };
  const address = location.pathname + write(layout) + location.hash;
  if (isStep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  apply(old);
}

function apply(old: Layout): void {
  show();
  if (old.symbols !== layout.symbols) {
    const wanted = wishes().symbols;
    rows.keep((symbol) => isAmong(symbol, wanted), layout.instrument);
    watchlist.changedRows();
  }
  if (old.interval !== layout.interval) view.clearBars();
  if (JSON.stringify(wishes()) !== JSON.stringify(wishesShown)) {
    wishesShown = wishes();
    link.tell({ kind: "wish", wishes: wishesShown });
  }
}
let wishesShown: Wishes | null = null;

/** Shows the layout; every part ignores what it shows already. */
function show(): void {
  watchlist.filter = layout.filter;
  watchlist.sort = layout.sort;
  view.open(layout.instrument, layout.instrument === null ? undefined : rows.get(layout.instrument));
  panel.show(layout.rate, layout.encoding);
  intervals.press(layout.interval);
  depths.press(layout.depth);
  theme.choose(layout.theme);
  const isOpen = layout.panel ?? WIDE.matches;
  byId("panel").hidden = !isOpen;
  byId("panel-switch").ariaExpanded = String(isOpen);
  document.body.dataset.panel = isOpen ? "open" : "closed";
  for (const box of ["filter", "symbols"] as const) {
    const input = byId<HTMLInputElement>(box);
    if (document.activeElement !== input) input.value = layout[box];
  }
}

function open(symbol: string | null): void {
  // Back closes what was opened; going from one instrument to the next is no step.
  const isStep = (layout.instrument === null) !== (symbol === null) && symbol !== null;
  change({ instrument: symbol }, isStep);
  // Where the view takes the watchlist's place the focus goes with it.
  if (symbol !== null && NARROW.matches) byId("view").focus({ preventScroll: true });
  else watchlist.focus();
}

function setSlow(wanted: boolean): void {
  isSlow = wanted;
  panel.isSlow = isSlow;
  link.tell({ kind: "slow", isSlow });
}

function hear(report: Report): void {
  switch (report.kind) {
    case "batch":
      painter.bring(() => take(report));
      break;
    case "instruments":
      rows.rank(report.instruments);
      view.list(report.instruments);
      watchlist.changedRows();
      break;
    case "token-wanted":
      form.ask(report.why);
      break;
  }
}

/** Takes a batch; the parts draw in the same frame. */
function take(batch: Batch): void {
  const { tickers, link: told } = batch;
  if (told) {
    align(told.offset?.ms);
    panel.take(told);
    resolve(told);
  }
  const wanted = wishesShown?.symbols ?? [];
  let hasNew = false;
  for (const ticker of tickers) {
    const isWatched = () => isAmong(ticker.symbol, wanted);
    const isHeld = rows.get(ticker.symbol) !== undefined || ticker.symbol === layout.instrument;
    // Still on its way when other symbols were chosen.
    if (!isHeld && !isWatched()) continue;
    const { isNew } = rows.take(ticker, isWatched);
    hasNew ||= isNew;
    delays.add(ticker.receivedAt - ticker.tsPublish / 1_000);
  }
  if (hasNew) watchlist.changedRows();
  else if (tickers.length) watchlist.changedValues();
  view.take(batch, layout.instrument === null ? undefined : rows.get(layout.instrument));
}

/** A name without a venue becomes the full one, once the service has said which it is. */
function resolve({ looked }: LinkCopy): void {
  if (!looked || looked.asked !== layout.instrument || looked.symbol === undefined || looked.symbol === looked.asked) return;
  change({ instrument: looked.symbol });
}

function next<T>(list: readonly T[], now: T, by: number): T {
  const index = list.indexOf(now) + by;
  return list[Math.max(0, Math.min(index, list.length - 1))]!;
}

function back(): void {
  const filter = byId<HTMLInputElement>("filter");
  if (document.activeElement instanceof HTMLInputElement) {
    const box = document.activeElement;
    if (box === filter && filter.value !== "") {
      filter.value = "";
      change({ filter: "" });
    }
    box.value = box.id === "symbols" ? layout.symbols : box.value;
    watchlist.focus();
  } else if (layout.instrument !== null) {
    open(null);
  } else if (layout.filter !== "") {
    change({ filter: "" });
    filter.value = "";
  }
}

function focusBox(id: "filter" | "symbols"): void {
  const box = byId<HTMLInputElement>(id);
  box.focus();
  box.select();
}

function cycleTheme(): void {
  change({ theme: THEMES[(THEMES.indexOf(layout.theme) + 1) % THEMES.length]! });
}

function togglePanel(): void {
  change({ panel: !(layout.panel ?? WIDE.matches) });
}

listen({
  move(by) {
    applyTyped();
    if (by === "first") watchlist.move(-Infinity);
    else if (by === "last") watchlist.move(Infinity);
    else if (typeof by === "number") watchlist.move(by);
    else watchlist.move(by === "page-down" ? watchlist.page : -watchlist.page);
  },
  open() {
    applyTyped();
    const symbol = watchlist.chosen();
    if (symbol === null) return;
    watchlist.point(symbol);
    open(symbol);
  },
  back,
  search: () => focusBox("filter"),
  symbols: () => focusBox("symbols"),
  theme: cycleTheme,
  panel: togglePanel,
  slow: () => setSlow(!isSlow),
  details: () => { if (layout.instrument !== null) byId("details").togglePopover(); },
  interval: (by) => change({ interval: next(INTERVALS, layout.interval, by) }),
  rate: (index) => change({ rate: RATES[index]! }),
  help: () => byId<HTMLDialogElement>("help").showModal(),
});

let typing: ReturnType<typeof setTimeout> | undefined;
byId("filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(applyFilter, FILTER_PAUSE_MS);
});

function applyFilter(): void {
  clearTimeout(typing);
  typing = undefined;
  change({ filter: byId<HTMLInputElement>("filter").value });
}

/** A key that follows fast means the rows of what was typed, not those that are still shown. */
function applyTyped(): void {
  if (typing !== undefined) applyFilter();
  watchlist.settle();
}
byId("search").addEventListener("submit", (event) => event.preventDefault());
byId("symbols").addEventListener("change", () => {
  const box = byId<HTMLInputElement>("symbols");
  change({ symbols: patterns(box.value).join(",") || "*" });
  // By Enter: the next key is one of the page's.
  if (document.activeElement === box) watchlist.focus();
});
byId("view-close").addEventListener("click", () => open(null));
byId("panel-switch").addEventListener("click", togglePanel);
byId("theme-switch").addEventListener("click", cycleTheme);
byId("help-open").addEventListener("click", () => byId<HTMLDialogElement>("help").showModal());
WIDE.addEventListener("change", show);
addEventListener("popstate", () => {
  const old = layout;
  layout = read(location.search);
  apply(old);
});

painter.afterwards = () => link.tell({ kind: "ready" });
setText(byId("link-state"), "connecting");
show();
if (layout.instrument !== null) watchlist.point(layout.instrument);
wishesShown = wishes();
const url = new URL("./", location.href);
url.search = url.hash = "";
link.tell({ kind: "open", url: url.href, token: tokenOf(location.hash), wishes: wishesShown });
link.tell({ kind: "ready" });
