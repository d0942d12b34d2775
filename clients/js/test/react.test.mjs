// The hooks, in a real React on a document, against the real service.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Window } from "happy-dom";
import { eventually, needsService, startService } from "./service.mjs";

const window = new Window({ url: "http://127.0.0.1/" });
const globals = { window, document: window.document, navigator: window.navigator, HTMLElement: window.HTMLElement, Node: window.Node };
for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true });
globalThis.IS_REACT_ACT_ENVIRONMENT = false;

const { createElement: h, StrictMode, useState } = await import("react");
const { createRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { connect } = await import("../dist/index.js");
const { TickcastProvider, useBars, useBook, useConnection, useStatus, useTicker, useTickers, useTrades } =
  await import("../dist/react.js");

function mount(t, element) {
  const container = document.createElement("div");
  document.body.appendChild(container);
  const root = createRoot(container);
  root.render(element);
  t.after(() => root.unmount());
  return { root, text: (id) => container.querySelector(`#${id}`)?.textContent, container };
}

async function open(t, args = ["--sim-instruments", "5", "--sim-rate", "200"]) {
  const service = await startService(t, args);
  const tick = connect(service.url, { backoffMs: { base: 50, max: 200 } });
  t.after(() => tick.close());
  return { service, tick };
}

test("useTicker shows a value that moves, under StrictMode, and unsubscribes in the end", needsService, async (t) => {
  const { tick } = await open(t);
  const seen = new Set();
  let renders = 0;
  function Price({ symbol }) {
    const ticker = useTicker(symbol, { maxRate: 10 });
    renders += 1;
    if (ticker !== undefined) {
      assert.ok(Object.isFrozen(ticker));
      seen.add(ticker);
    }
    return h("b", { id: "price" }, ticker === undefined ? "…" : `${ticker.symbol} ${ticker.last} ${ticker.state}`);
  }
  const { root, text } = mount(t, h(StrictMode, null, h(TickcastProvider, { client: tick }, h(Price, { symbol: "sim:S0-USD" }))));
  await eventually(() => /^sim:S0-USD [\d.]+ live$/.test(text("price")));
  await eventually(() => seen.size > 5, "five values");
  assert.ok(renders < 100);
  assert.equal((await tick.stats()).subscriptions, 1);
  root.render(null);
  await eventually(async () => (await tick.stats()).subscriptions === 0, "no subscription");
});

test("another symbol or rate is followed, and equal options written anew change nothing", needsService, async (t) => {
  const { tick } = await open(t);
  let choose;
  const requests = [];
  const symbols = [];
  function Price() {
    const [{ symbol, maxRate }, set] = useState({ symbol: "S0-USD", maxRate: 10 });
    choose = set;
    const ticker = useTicker(symbol, { maxRate, fields: ["last", "bid"] }, tick);
    symbols.push(`${symbol} ${ticker?.symbol}`);
    return h("b", { id: "price" }, `${ticker?.symbol} ${ticker?.last}`);
  }
  tick.on("message", (message) => message.method !== undefined && requests.push(message));
  const { text } = mount(t, h(Price));
  await eventually(() => /^sim:S0-USD \d/.test(text("price")));
  choose({ symbol: "sim:S1-USD", maxRate: 10 });
  await eventually(() => /^sim:S1-USD \d/.test(text("price")));
  choose({ symbol: "sim:S1-USD", maxRate: 4 });
  await eventually(() => requests.some(({ method, result }) => method === "subscribe" && result.max_rate === 4));
  const count = requests.length;
  choose({ symbol: "sim:S1-USD", maxRate: 4 });
  await eventually(() => symbols.length > 10);
  assert.equal(requests.filter(({ method }) => method !== "pong").length, requests.slice(0, count).filter(({ method }) => method !== "pong").length);
  // Never the value of another symbol.
  assert.deepEqual([...new Set(symbols)].sort(), ["S0-USD sim:S0-USD", "S0-USD undefined", "sim:S1-USD sim:S1-USD", "sim:S1-USD undefined"]);
});

test("book, trades, bars, tickers, status and connection have their hooks", needsService, async (t) => {
  // So quiet that not every ticker changes with each update.
  const { service, tick } = await open(t, ["--sim-instruments", "5", "--sim-rate", "40"]);
  const kept = [];
  function All() {
    const symbol = "sim:S0-USD";
    const book = useBook(symbol, { depth: 25 });
    const trades = useTrades(symbol);
    const bars = useBars(symbol, { interval: "1s" });
    const tickers = useTickers("sim:*", { maxRate: 4 });
    const { state } = useConnection();
    const status = useStatus(symbol);
    kept.push(tickers);
    return h("ul", null,
      h("li", { id: "book" }, book?.bids.length ?? 0), h("li", { id: "trades" }, trades?.trades.length ?? 0),
      h("li", { id: "bars" }, bars?.bars.length ?? 0), h("li", { id: "tickers" }, tickers.size),
      h("li", { id: "connection" }, state), h("li", { id: "status" }, status ?? ""),
      h("li", { id: "stale" }, [...tickers.values()].filter(({ stale }) => stale).length));
  }
  const { text } = mount(t, h(TickcastProvider, { client: tick }, h(All)));
  await eventually(() => Number(text("book")) > 0 && Number(text("trades")) > 0 && Number(text("bars")) > 0 && text("tickers") === "5");
  assert.deepEqual([text("connection"), text("status"), text("stale")], ["live", "live", "0"]);
  // A ticker that has not changed is the same object, so that a row may be memoised.
  await eventually(() => kept.some((tickers, at) => at > 0 && tickers !== kept[at - 1] && tickers.size === 5
    && kept[at - 1].size === 5 && [...tickers].some(([symbol, ticker]) => kept[at - 1].get(symbol) === ticker)));
  await service.stop();
  await eventually(() => text("connection") === "reconnecting" && text("stale") === "5" && text("status") === "stale");
});

test("hooks render on a server, and say when they have no client", () => {
  const tick = connect("ws://127.0.0.1:1");
  const Price = () => h("b", null, useTicker("a:B")?.last ?? "…", useTickers("a:*").size, useConnection().state, useStatus("a:B") ?? "-");
  assert.equal(renderToString(h(TickcastProvider, { client: tick }, h(Price))).replace(/<!-- -->/g, ""), "<b>…0connecting-</b>");
  tick.close();
  assert.throws(() => renderToString(h(Price)), /there is no TickcastProvider above/);
});

test("a component that wants nothing yet subscribes once it does", needsService, async (t) => {
  const { tick } = await open(t);
  let choose;
  function Prices() {
    const [symbols, setSymbols] = useState([]);
    choose = setSymbols;
    const tickers = useTickers(symbols);
    return h("b", { id: "prices" }, `${tickers.size} held`);
  }
  const { text } = mount(t, h(TickcastProvider, { client: tick }, h(Prices)));
  await eventually(() => text("prices") === "0 held");
  await eventually(() => tick.connection.state === "live");
  assert.equal((await tick.stats()).subscriptions, 0);
  choose(["sim:S0-USD", "sim:S1-USD"]);
  await eventually(() => text("prices") === "2 held", "both");
  choose([]);
  await eventually(() => text("prices") === "0 held", "none");
});
