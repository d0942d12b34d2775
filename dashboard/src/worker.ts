// The worker that has the connection: the SDK runs here. Messages are decoded beside the page, so
// that no burst costs it a frame, and the slow link can block this thread without blocking it.
//
// The page gets a batch only after it has drawn the one before (`ready`). What comes meanwhile is
// merged: a set of changed tickers, the newest book. So nothing queues between worker and page,
// as nothing queues between service and worker.

import { connect, type Failure, type Subscription, type Tickcast, type Ticker } from "tickcast";
import { protobuf } from "tickcast/protobuf";
import { isAmong } from "./glob.js";
import { OffsetEstimate } from "./latency.js";
import type { Batch, Command, LinkCopy, Report, StatsCopy, TickerCopy, Wishes } from "./messages.js";
import { LOAD_INSTRUMENTS_MAX, SlowLink } from "./slow.js";
import { Streams } from "./streams.js";
import { NOT_AUTHENTICATED, TokenDesk } from "./token.js";

/** Between two batches: thirty changes of a figure a second are more than anybody reads, and half the work of sixty. */
const BATCH_MS_MIN = 32;
const LINK_EVERY_MS = 250;
const STATS_EVERY_MS = 1_000;
const INSTRUMENTS_EVERY_MS = 30_000;
const INSTRUMENTS_RETRY_MS = 2_000;
/** How long a fault is told. */
const PROBLEM_SHOWN_MS = 30_000;

const report = (message: Report) => postMessage(message);

const slow = new SlowLink();
const streams = new Streams(wake, failed);
const desk = new TokenDesk((why) => report({ kind: "token-wanted", why }));
const estimate = new OffsetEstimate();
const changed = new Set<Ticker>();
let fault: { readonly text: string; readonly at: number } | undefined;

let url = "";
let wishes: Wishes | null = null;
let tick: Tickcast | null = null;
let watch: Subscription<"ticker"> | null = null;
/** The ticker of an instrument that no pattern of the watchlist names. */
let single: Subscription<"ticker"> | null = null;
/** What was asked of the present connection. */
let placed: Wishes | null = null;
let stats: StatsCopy | undefined;
let wantsSlow = false;
let linkChanged = true;
/** The service's list, the most active first. */
let listed: string[] = [];
let isPageReady = false;
let postedAt = -Infinity;
let posting: ReturnType<typeof setTimeout> | undefined;

const maxRate = ({ rate }: Wishes) => (rate === 0 ? undefined : rate);

/** There is news: it goes out with the end of this turn, if the page is ready for it and has not just had some. */
function wake(): void {
  if (!isPageReady) return;
  posting ??= setTimeout(post, Math.max(0, postedAt + BATCH_MS_MIN - performance.now()));
}

function post(): void {
  posting = undefined;
  if (!isPageReady || !(changed.size || linkChanged || streams.hasNews)) return;
  isPageReady = false;
  postedAt = performance.now();
  const batch: Batch = {
    kind: "batch",
    tickers: Array.from(changed, copy),
    book: streams.takeBook(),
    trades: streams.takeTrades(),
    bars: streams.takeBars(),
    link: linkChanged ? linkCopy() : undefined,
  };
  changed.clear();
  linkChanged = false;
  report(batch);
}

function copy(ticker: Ticker): TickerCopy {
  const { symbol, epoch, seq, state, stale, last, lastSize, bid, bidSize, ask, askSize, open, high,
    low, volume, tsEvent, tsPublish, receivedAt } = ticker;
  return { symbol, epoch, seq, state, stale, last, lastSize, bid, bidSize, ask, askSize, open, high,
    low, volume, tsEvent, tsPublish, receivedAt };
}

function linkCopy(): LinkCopy | undefined {
  if (!tick) return undefined;
  const { state, transport, encoding, session, version, since, attempt, nextAttemptAt, reason,
    reconnects, resyncs, missedTrades, messages, bytes, goaway, clockOffsetUs, rttUs } = tick.connection;
  const offset = estimate.take(session, clockOffsetUs, rttUs);
  const granted = watch?.granted;
  return {
    state, transport, encoding, session, version, since, attempt, nextAttemptAt, reason: desk.inWords(reason),
    reconnects, resyncs, missedTrades, messages, bytes, goaway, offset, rttUs, stats,
    at: performance.timeOrigin + performance.now(),
    granted: granted && { maxRate: granted.maxRate, matched: watch?.size ?? 0 },
    slow: slow.state,
    looked: lookedAt(),
    fault: fault && performance.now() - fault.at < PROBLEM_SHOWN_MS ? fault.text : undefined,
  };
}

function lookedAt(): LinkCopy["looked"] {
  const asked = wishes?.instrument;
  if (asked == null) return undefined;
  if (asked.includes("*")) return { asked, symbol: undefined, failure: `${asked}: a pattern; one instrument can be looked at` };
  const { failure, fullName } = streams;
  return { asked, symbol: fullName, failure: failure && `${failure.error} (${failure.code})` };
}

function problem(text: string): void {
  fault = { text, at: performance.now() };
  linkChanged = true;
  wake();
}

function failed(symbol: string, { code, error }: Failure): void {
  problem(`${symbol}: ${code} ${error}`);
}

function heard(ticker: Ticker): void {
  changed.add(ticker);
  wake();
}

function open(): void {
  tick?.close();
  streams.forget();
  watch = single = placed = null;
  stats = undefined;
  changed.clear();
  const opened = connect(url, {
    token: desk.source,
    encoding: wishes!.encoding === "protobuf" ? protobuf : "json",
  });
  tick = opened;
  let wasLive = false;
  opened.on("connection", () => {
    if (tick !== opened) return;
    const { state, reason } = opened.connection;
    if (state === "closed" && reason?.code === NOT_AUTHENTICATED) desk.refused(reason.text);
    // Said again while it is live (a service that goes away): only its beginning counts.
    const isNew = state === "live" && !wasLive;
    wasLive = state === "live";
    if (isNew) becameLive(opened);
    if (!wasLive) stats = undefined;
    linkChanged = true;
    wake();
  });
  opened.on("message", read);
  opened.on("error", (error) => {
    // Why it was closed is said beside the state, and the form asks for the token.
    const isForm = opened.connection.state === "closed" && opened.connection.reason?.code === NOT_AUTHENTICATED;
    if (!isForm) problem(error.message);
  });
  slow.end();
  follow();
}

/** Live, and the service does not go away. */
const isLasting = (tick: Tickcast | null) => tick?.connection.state === "live" && !tick.connection.goaway;

function becameLive(tick: Tickcast): void {
  // What was wrong before says nothing of this connection.
  fault = undefined;
  void loadInstruments();
  if (!wantsSlow || slow.replaced()) return;
  slow.begin(tick, loaded());
  follow();
}

/** Makes the subscriptions what the wishes say; what cannot be subscribed to is told. */
function follow(): void {
  if (!tick || !wishes) return;
  try {
    subscribe(tick, wishes);
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  }
}

function subscribe(tick: Tickcast, wishes: Wishes): void {
  // A slow link has nothing to merge where a tier is slower still.
  const { instrument } = wishes;
  const wanted: Wishes = {
    ...wishes, rate: slow.isOn ? 0 : wishes.rate, instrument: instrument?.includes("*") ? null : instrument,
  };
  const old = placed;
  placed = wanted;
  if (!watch) {
    watch = tick.ticker(wanted.symbols, { maxRate: maxRate(wanted) }, heard);
    watch.on("failed", failed);
    watch.on("granted", () => { linkChanged = true; });
  } else if (old) {
    if (old.rate !== wanted.rate) watch.change({ maxRate: maxRate(wanted) });
    if (old.symbols.join() !== wanted.symbols.join()) {
      fault = undefined; // what was wrong with other symbols
      linkChanged = true;
      watch.setSymbols(wanted.symbols);
      if (slow.isOn && isLasting(tick)) slow.begin(tick, loaded());
    }
  }
  followSingle(tick, wanted);
  streams.follow(tick, wanted);
}

/** The instruments of which the slow link asks for more: the most active of the watchlist. */
function loaded(): string[] {
  const { symbols, instrument } = wishes!;
  return listed.filter((symbol) => symbol !== instrument && isAmong(symbol, symbols)).slice(0, LOAD_INSTRUMENTS_MAX);
}

/** What is switched on while the connection is not live, or goes away, begins with the next one. */
function setSlow(isSlow: boolean): void {
  wantsSlow = isSlow;
  if (isSlow === slow.isOn || !tick || !wishes) return;
  if (!isSlow) slow.end();
  else if (isLasting(tick)) slow.begin(tick, loaded());
  follow();
  linkChanged = true;
  wake();
}

function followSingle(tick: Tickcast, { instrument, symbols, rate }: Wishes): void {
  const isNeeded = instrument !== null && !isAmong(instrument, symbols);
  if (single && (!isNeeded || single.symbols[0] !== instrument)) {
    single.close();
    single = null;
  }
  if (!isNeeded) return;
  const options = { maxRate: rate === 0 ? undefined : rate };
  if (single) single.change(options);
  else {
    single = tick.ticker(instrument, options, heard);
    single.on("failed", failed);
  }
}

let loading: ReturnType<typeof setTimeout> | undefined;
async function loadInstruments(): Promise<void> {
  clearTimeout(loading);
  let waitMs = INSTRUMENTS_RETRY_MS;
  const asked = tick;
  // A connection that is lost or about to be has its own words; the next one asks anew.
  const isServed = () => tick === asked && isLasting(asked);
  if (!asked || !isServed()) return;
  try {
    const list = await asked.instruments();
    const isFirst = listed.length === 0;
    listed = list.map(({ symbol }) => symbol);
    if (isFirst && slow.isOn && isServed()) slow.begin(asked, loaded());
    report({ kind: "instruments", instruments: list.map(({ symbol, tickSize, lotSize }) => ({ symbol, tickSize, lotSize })) });
    if (list.length) waitMs = INSTRUMENTS_EVERY_MS;
  } catch (error) {
    if (!isServed()) return;
    problem(`list of instruments: ${error instanceof Error ? error.message : String(error)}`);
  }
  clearTimeout(loading);
  loading = setTimeout(() => void loadInstruments(), waitMs);
}

/** Asks for the service's count; `read` takes the answer, however late a slow link brings it. */
function askStats(): void {
  if (tick?.connection.state !== "live" || tick.connection.transport !== "websocket") return;
  // What the SDK does not wait for any longer is no fault: the answer may still come.
  tick.stats().catch(() => undefined);
}

/** Every message as it came: for the speed of the slow link, the clocks, and the service's count. */
function read(message: unknown, size: number): void {
  if (tick?.connection.state === "live") slow.read(size);
  const { method, success, result } = message as { method?: unknown; success?: unknown; result?: Record<string, unknown> };
  if (method === "pong") estimate.answered();
  if (method !== "stats" || success !== true || !result) return;
  stats = { mergedUpdates: Number(result["merged_updates"]), owedTopics: Number(result["owed_topics"]) };
  linkChanged = true;
}

setInterval(() => {
  linkChanged = true;
  wake();
}, LINK_EVERY_MS);
setInterval(askStats, STATS_EVERY_MS);

onmessage = ({ data }: MessageEvent<Command>) => {
  switch (data.kind) {
    case "open":
      url = data.url;
      wishes = data.wishes;
      desk.give(data.token);
      open();
      break;
    case "wish": {
      const old = wishes;
      wishes = data.wishes;
      if (old && old.encoding !== wishes.encoding) open();
      else follow();
      break;
    }
    case "ready":
      isPageReady = true;
      wake();
      break;
    case "slow":
      setSlow(data.isSlow);
      break;
    case "token":
      desk.give(data.token);
      if (tick?.connection.state === "closed") open();
      break;
    case "retry":
      if (tick?.connection.state === "closed") open();
      else tick?.reconnect();
      break;
  }
};
