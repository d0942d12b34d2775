// The page: which symbols are shown, and a table in which only touched cells change. All text
// from outside goes into text nodes.

import { Link } from "./link.js";

const ROWS_MAX = 50;
const FILTER_PAUSE_MS = 150;
const INSTRUMENTS_EVERY_MS = 30_000;
const INSTRUMENTS_RETRY_MS = 2_000;
const AGES_EVERY_MS = 200;
const SORT_EVERY_MS = 2_000;

const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token");

let instruments = [];
let sorting = { by: null, down: true };
const rows = new Map();
const touched = new Set();
let frame = 0;

const url = new URL("v1/ws", location.href);
url.protocol = url.protocol.replace("http", "ws");
url.search = url.hash = "";
const link = new Link(url.href, {
  ticker: touch,
  link(state, words) {
    document.body.dataset.link = state;
    $("link").textContent = words;
    for (const symbol of rows.keys()) touch({ symbol });
    if (state === "live") loadInstruments();
  },
  problem(words) { $("link").textContent = words; },
}, token);

// Formats.

const compact = new Intl.NumberFormat("en", {
  notation: "compact", minimumFractionDigits: 1, maximumFractionDigits: 1,
});

/** A size short enough for a column; four decimals stand under each other. */
function sizeText(text) {
  if (text == null) return "–";
  const size = Number(text);
  if (size >= 10_000) return compact.format(size);
  return size > 0 && size < 0.0001 ? size.toExponential(1) : size.toFixed(4);
}

function changePercent({ last, open }) {
  const change = (Number(last) / Number(open) - 1) * 100;
  return last == null || open == null || !Number.isFinite(change) ? null : change;
}

function ageText(ms) {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

// Rows.

/** A cell that remembers what it shows, so that the page is only touched when that changes. */
class Cell {
  constructor(parent, classes) {
    this.td = document.createElement("td");
    this.td.className = this.classes = classes;
    this.node = document.createTextNode("–");
    this.td.append(this.node);
    parent.append(this.td);
  }

  show(text, extra = "") {
    if (this.node.data !== text) this.node.data = text;
    const classes = extra ? `${this.classes} ${extra}` : this.classes;
    if (this.td.className !== classes) this.td.className = classes;
  }

  /** Shows a price and, where it moved, the way it went. */
  price(text, mayFlash) {
    const shown = text ?? "–";
    if (this.node.data === shown) return;
    const move = Number(shown) - Number(this.node.data);
    this.node.data = shown;
    if (!mayFlash || !move) return;
    this.turn = !this.turn;
    this.td.className = `${this.classes} ${move > 0 ? "up" : "down"}${Number(this.turn)}`;
  }
}

class Row {
  constructor(symbol) {
    this.symbol = symbol;
    this.tr = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    const at = symbol.indexOf(":");
    for (const [name, text] of [["symbol", symbol.slice(at + 1)], ["venue", symbol.slice(0, Math.max(at, 0))]]) {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = text;
      head.append(span);
    }
    this.tr.append(head);
    this.last = new Cell(this.tr, "number last");
    this.change = new Cell(this.tr, "number change");
    this.bidSize = new Cell(this.tr, "number size wide");
    this.bid = new Cell(this.tr, "number bid");
    this.ask = new Cell(this.tr, "number ask");
    this.askSize = new Cell(this.tr, "number size wide");
    this.volume = new Cell(this.tr, "number volume wide");
    this.age = new Cell(this.tr, "number age");
    const state = document.createElement("td");
    this.badge = document.createElement("span");
    this.badge.className = "badge";
    state.append(this.badge);
    this.tr.append(state);
  }

  draw() {
    const ticker = link.ticker(this.symbol);
    if (!ticker) return;
    const { values } = ticker;
    const state = link.isLive && (ticker.current || ticker.state === "waiting") ? ticker.state
      : link.isLive ? "resync" : "offline";
    const isLive = state === "live";
    if (this.tr.dataset.state !== state) {
      this.tr.dataset.state = this.badge.textContent = state;
      this.badge.title = ticker.error ?? "";
    }
    this.last.price(values.last, isLive);
    this.bid.price(values.bid, isLive);
    this.ask.price(values.ask, isLive);
    this.bidSize.show(sizeText(values.bid_size));
    this.askSize.show(sizeText(values.ask_size));
    this.volume.show(values.volume == null ? "–" : compact.format(Number(values.volume)));
    const change = changePercent(values);
    const sign = change > 0 ? "up" : change < 0 ? "down" : "";
    this.change.show(change === null ? "–" : `${change > 0 ? "+" : ""}${change.toFixed(2)}%`, sign);
    this.drawAge(ticker);
  }

  drawAge(ticker = link.ticker(this.symbol)) {
    if (ticker?.tsEvent) this.age.show(ageText(link.serverNow() - ticker.tsEvent / 1_000));
  }
}

function touch({ symbol }) {
  touched.add(symbol);
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    for (const symbol of touched) rows.get(symbol)?.draw();
    touched.clear();
  });
}

// Which symbols are shown.

/** A glob where there is a `*`, else the beginning of a symbol or of any part of it. */
function matcher(filter) {
  const text = filter.trim().toLowerCase();
  if (!text.includes("*")) {
    return (symbol) => symbol.startsWith(text) || symbol.split(/[:-]/).some((part) => part.startsWith(text))
      || symbol.slice(symbol.indexOf(":") + 1).startsWith(text);
  }
  const pattern = text.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*");
  const glob = new RegExp(`^${pattern}$`);
  return (symbol) => glob.test(symbol) || glob.test(symbol.slice(symbol.indexOf(":") + 1));
}

function choose() {
  const matches = matcher($("filter").value);
  const found = instruments.filter((symbol) => matches(symbol.toLowerCase()));
  const chosen = found.slice(0, ROWS_MAX);
  for (const [symbol, row] of rows) {
    if (chosen.includes(symbol)) continue;
    row.tr.remove();
    rows.delete(symbol);
  }
  for (const symbol of chosen) if (!rows.has(symbol)) rows.set(symbol, new Row(symbol));
  link.follow(chosen);
  for (const symbol of chosen) touch({ symbol });
  order(chosen);
  const of = found.length === instruments.length ? "" : ` matching, of ${instruments.length}`;
  $("shown").value = instruments.length ? `${chosen.length} of ${found.length} instruments${of}` : "";
  $("empty").hidden = chosen.length > 0;
  $("empty").textContent = instruments.length
    ? "No instrument matches this filter." : "No instruments yet: the venues' lists are still on their way.";
}

const keys = {
  symbol: (row) => row.symbol,
  change: (row) => changePercent(link.ticker(row.symbol).values) ?? -Infinity,
  volume: (row) => Number(link.ticker(row.symbol).values.volume ?? -1),
  age: (row) => link.ticker(row.symbol).tsEvent,
};

/** Puts the rows into the chosen order and moves only those that stand wrong. */
function order(symbols = instruments.filter((symbol) => rows.has(symbol))) {
  const list = symbols.map((symbol) => rows.get(symbol));
  if (sorting.by) {
    const key = keys[sorting.by];
    const keyed = list.map((row) => [key(row), row]);
    const way = sorting.down ? -1 : 1;
    keyed.sort(([a], [b]) => (a < b ? -way : a > b ? way : 0));
    list.splice(0, list.length, ...keyed.map(([, row]) => row));
  }
  const body = $("rows");
  let next = body.firstElementChild;
  for (const { tr } of list) {
    if (tr === next) next = next.nextElementSibling;
    else body.insertBefore(tr, next);
  }
}

/** First click: the natural way; second: the other; third: most active first again. */
function sortBy(th) {
  const by = th.dataset.sort;
  const first = by !== "symbol";
  if (sorting.by !== by) sorting = { by, down: first };
  else if (sorting.down === first) sorting = { by, down: !first };
  else sorting = { by: null, down: true };
  for (const other of document.querySelectorAll("[data-sort]")) other.removeAttribute("aria-sort");
  if (sorting.by) th.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
  order();
}

let loading = 0;
async function loadInstruments() {
  clearTimeout(loading);
  let wait = INSTRUMENTS_RETRY_MS;
  try {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const answer = await fetch("v1/instruments", { headers, cache: "no-store" });
    if (answer.ok) {
      const symbols = (await answer.json()).instruments.map(({ symbol }) => symbol);
      if (symbols.join() !== instruments.join() || !rows.size) {
        instruments = symbols;
        choose();
      }
      if (symbols.length) wait = INSTRUMENTS_EVERY_MS;
    }
  } catch {
    // The link says that the service is away.
  }
  clearTimeout(loading);
  loading = setTimeout(loadInstruments, wait);
}

// What the person does, and the clocks of the page.

let typing = 0;
function filterChanged() {
  const query = new URLSearchParams(location.search);
  if ($("filter").value) query.set("filter", $("filter").value);
  else query.delete("filter");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
  choose();
}

$("filter").value = new URLSearchParams(location.search).get("filter") ?? "";
$("filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(filterChanged, FILTER_PAUSE_MS);
});
document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  filterChanged();
});
addEventListener("keydown", (event) => {
  const filter = $("filter");
  if (event.key === "/" && document.activeElement !== filter && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    filter.select();
    filter.focus();
  } else if (event.key === "Escape" && document.activeElement === filter) {
    filter.value = "";
    filterChanged();
  }
});
for (const th of document.querySelectorAll("[data-sort]")) {
  th.firstElementChild.addEventListener("click", () => sortBy(th));
}

setInterval(() => document.hidden || rows.forEach((row) => row.drawAge()), AGES_EVERY_MS);
setInterval(() => document.hidden || (sorting.by && order()), SORT_EVERY_MS);
let metersAt = performance.now();
setInterval(() => {
  const seconds = (performance.now() - metersAt) / 1_000;
  metersAt = performance.now();
  const { updates, bytes, delay, rtt } = link.takeMeters();
  const show = (id, value, digits) => {
    $(id).textContent = link.isLive && Number.isFinite(value) ? value.toFixed(digits) : "–";
  };
  show("rate", updates / seconds, 0);
  show("traffic", bytes / seconds / 1_000, 1);
  show("delay", delay, delay < 10 ? 1 : 0);
  show("rtt", rtt, rtt < 10 ? 1 : 0);
}, 1_000);

link.connect();
loadInstruments();
