// What the page shows equals /v1/snapshot, digit by digit: watchlist, instrument view, ladder, tape,
// bars, epoch and sequence.
//
// usage: node page_values.mjs BASE_URL
// expects: a service whose replay has ended or is about to (`--replay FILE --replay-speed max`, no
// loop), so that nothing moves any more; at most 30 instruments.

import { withBrowser } from "./chromium.mjs";
import { countRows, noTrouble, openDashboard, readRows, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const INSTRUMENTS_MAX = 30;
const NOTHING = "–";
const DEPTH = 10;
const INTERVAL = "1m";

async function rest(base, path) {
  const answer = await fetch(`${base}${path}`);
  expect(answer.ok, `200 from ${path}`, answer.status);
  return answer.json();
}

const snapshot = async (base, channel, symbol, more = "") =>
  (await rest(base, `/v1/snapshot?channel=${channel}&symbol=${symbol}${more}`)).data;

/** At the end of a replay everything is stale, and stays as it is. */
async function ended(base) {
  let instruments = [];
  await until(async () => {
    ({ instruments } = await rest(base, "/v1/instruments"));
    return (instruments.length > 0 && instruments.every(({ state }) => state === "stale"))
      || instruments.map(({ symbol, state }) => `${symbol} ${state}`);
  }, "a replay that has ended, every instrument stale", 60_000);
  expect(instruments.length <= INSTRUMENTS_MAX, `at most ${INSTRUMENTS_MAX} instruments`, instruments.length);
  return instruments.map(({ symbol }) => symbol);
}

/** In the smallest unit of either text, exact. */
function mantissas(...texts) {
  const scale = Math.max(...texts.map((text) => text.split(".")[1]?.length ?? 0));
  return texts.map((text) => {
    const [whole, fraction = ""] = text.split(".");
    return BigInt(whole + fraction.padEnd(scale, "0"));
  });
}

/** The page's words for last against open: exact, rounded away from zero at a half. */
function percent(last, open) {
  if (last == null || open == null) return NOTHING;
  const [now, then] = mantissas(last, open);
  if (then === 0n) return NOTHING;
  const difference = now - then;
  const size = ((difference < 0n ? -difference : difference) * 20_000n + then) / (2n * then);
  const sign = size === 0n ? "" : difference < 0n ? "\u2212" : "+";
  const digits = size.toString().padStart(3, "0");
  return `${sign}${digits.slice(0, -2)}.${digits.slice(-2)}%`;
}

async function watchlist(page, base, symbols) {
  await until(async () => (await countRows(page)) === symbols.length || await countRows(page), `${symbols.length} rows`);
  const data = await snapshot(base, "ticker", symbols.join(","));
  for (const item of data) {
    const expected = {
      last: item.last ?? NOTHING, bid: item.bid ?? NOTHING, ask: item.ask ?? NOTHING,
      change: percent(item.last, item.open), state: item.state, badge: item.state,
    };
    await until(async () => {
      const row = (await readRows(page)).find(({ symbol }) => symbol === item.symbol);
      return Object.entries(expected).every(([name, value]) => row?.[name] === value) || { row, expected };
    }, `the row of ${item.symbol} as in the snapshot`);
  }
  console.log(`ok: ${data.length} rows equal the snapshot`);
}

const readView = (page) => page.evaluate(() => {
  const text = (id) => document.getElementById(id).textContent;
  const lines = (selector) => [...document.querySelectorAll(selector)].filter((line) => !line.hidden)
    .map((line) => ({ line, y: new DOMMatrix(line.style.transform).f })).sort((a, b) => a.y - b.y)
    .map(({ line }) => ({ kind: line.className, cells: [...line.querySelectorAll("span")].map((cell) => cell.textContent) }));
  return {
    name: `${text("view-venue")}:${text("view-name")}`, state: text("view-state"),
    last: text("view-last"), bid: text("view-bid"), ask: text("view-ask"),
    open: text("view-open"), high: text("view-high"), low: text("view-low"), volume: text("view-volume"),
    levels: lines("#ladder .level"), trades: lines("#tape .print"),
    bars: document.getElementById("chart").getAttribute("aria-label"),
  };
});

function sums(levels) {
  const sizes = mantissas("0", ...levels.map(([, size]) => size)).slice(1);
  const scale = Math.max(0, ...levels.map(([, size]) => size.split(".")[1]?.length ?? 0));
  let sum = 0n;
  return sizes.map((size) => {
    sum += size;
    const digits = sum.toString().padStart(scale + 1, "0");
    return scale ? `${digits.slice(0, -scale)}.${digits.slice(-scale)}` : digits;
  });
}

async function expectedView(base, symbol) {
  const [ticker] = await snapshot(base, "ticker", symbol);
  const [book] = await snapshot(base, "book", symbol, `&depth=${DEPTH}`);
  const [trades] = await snapshot(base, "trades", symbol);
  const [bars] = await snapshot(base, "bars", symbol, `&interval=${INTERVAL}`);
  const side = (levels, kind) => {
    const running = sums(levels);
    return levels.map(([price, size], at) => ({ kind: `level ${kind}`, cells: [price, size, running[at]] }));
  };
  const quote = (price, size) => (price == null ? NOTHING : `${price} × ${size ?? NOTHING}`);
  return {
    streams: { ticker, book, trades, bars },
    view: {
      name: symbol, state: ticker.state, last: ticker.last ?? NOTHING,
      bid: quote(ticker.bid, ticker.bid_size), ask: quote(ticker.ask, ticker.ask_size),
      open: ticker.open ?? NOTHING, high: ticker.high ?? NOTHING, low: ticker.low ?? NOTHING, volume: ticker.volume ?? NOTHING,
      bars: bars.bars.length ? `Bars: ${bars.bars.length}, the newest closes at ${bars.bars.at(-1).close}` : "Bars: none yet",
    },
    asks: side(book.asks, "ask").reverse(), bids: side(book.bids, "bid"),
    trades: trades.trades.map(({ price, size, side: way }) => [way === "buy" ? `▲ ${price}` : `▼ ${price}`, size]).reverse(),
  };
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

async function instrument(page, base, symbol) {
  await page.click(`#rows .row[data-symbol="${symbol}"]`);
  const { streams, view, asks, bids, trades } = await expectedView(base, symbol);
  await until(async () => {
    const { levels, trades: prints, ...seen } = await readView(page);
    for (const [name, value] of Object.entries(view)) if (seen[name] !== value) return { name, seen: seen[name], value };
    const isLadder = same(levels.filter(({ kind }) => kind !== "level middle"), [...asks, ...bids]);
    if (!isLadder) return { levels, asks, bids };
    // The tape has as many as fit; they are the newest.
    const shown = prints.map(({ cells }) => cells.slice(0, 2));
    const isTape = shown.length >= Math.min(trades.length, 5) && same(shown, trades.slice(0, shown.length));
    return isTape || { shown, trades: trades.slice(0, 5) };
  }, `the view of ${symbol} as in the snapshots`);
  await details(page, symbol, streams);
}

async function details(page, symbol, streams) {
  await page.click("#details-open");
  for (const [stream, { epoch, seq, state }] of Object.entries(streams)) {
    await until(async () => {
      const seen = await page.$$eval(`#details [data-stream=${stream}] td`, (cells) => cells.slice(0, 3).map(({ textContent }) => textContent));
      return same(seen, [state, String(epoch), String(seq)]) || seen;
    }, `epoch ${epoch} and seq ${seq} of ${symbol} ${stream}`);
  }
  await page.keyboard.press("Escape");
}

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const symbols = await ended(base);
  const { page, trouble } = await openDashboard(browser, base, "?panel=closed");
  await watchlist(page, base, symbols);
  for (const symbol of symbols) await instrument(page, base, symbol);
  console.log(`ok: ${symbols.length} views equal the snapshots: figures, ladder, tape, bars, epoch and seq`);
  noTrouble(trouble);
});
