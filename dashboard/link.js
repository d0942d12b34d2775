// The connection to /v1/ws and what is held of each ticker: connecting, the client's rule,
// asking again, heartbeats, reconnecting with `since`. It knows nothing of the page.

export const FIELDS = ["last", "bid", "bid_size", "ask", "ask_size", "open", "volume"];

const MAX_RATE = 4;
const SUBPROTOCOL = "tickcast.v1.json";
const CONNECT_PATIENCE_MS = 10_000;
const HEARTBEATS_MISSED_MAX = 3;
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 15_000;
/** Symbols that must be asked for again are gathered for this long into one request. */
const ASK_GATHER_MS = 50;
/** What was asked for and never came is asked for again after this long. */
const ASK_PATIENCE_MS = 5_000;
const PING_EVERY_MS = 2_000;
const DELAYS_MAX = 512;

/** Milliseconds since the Unix epoch, finer than `Date.now()`. */
export const now = () => performance.timeOrigin + performance.now();

/**
 * The client's rule, the same on every channel. `held` has the `epoch` and `seq` that are held
 * (0: nothing) and `newest`, the newest epoch received on this connection.
 * Answers "replace", "merge", "ignore" or "ask" (again, for this symbol only).
 */
export function verdict(held, type, item) {
  if (item.epoch < held.newest) return "ignore";
  if (type === "snapshot") return "replace";
  if (type !== "update") return "ignore";
  if (held.seq === 0 || item.epoch !== held.epoch) return "ask";
  if (item.seq <= held.seq) return "ignore";
  return item.prev <= held.seq ? "merge" : "ask";
}

const nothing = () => ({ epoch: 0, seq: 0, newest: 0 });

/** What is held of one symbol. */
class Ticker {
  constructor(symbol) {
    this.symbol = symbol;
    this.held = nothing();
    this.heldStatus = nothing();
    this.values = {};
    this.state = "waiting";
    this.tsEvent = 0;
    /** Whether this connection has confirmed what is held. */
    this.current = false;
    this.askedAt = -Infinity;
  }
}

export class Link {
  #url;
  #token;
  #socket = null;
  #tickers = new Map();
  #heartbeatMs = 5_000;
  #welcomed = false;
  #heardAt = 0;
  #attempt = 0;
  #timer = 0;
  #leave = 0;
  #requests = 0;
  #pingSentAt = 0;
  #ask = new Set();
  #askTimer = 0;
  #clock = { offset: 0, rtt: Infinity, at: -Infinity };
  #delays = [];
  #meters = { updates: 0, bytes: 0 };

  /** `on` has `ticker(ticker)`, `link(state, words)` and `problem(words)`. */
  constructor(url, on, token) {
    this.#url = url;
    this.#token = token;
    this.on = on;
    setInterval(() => this.#watch(), 1_000);
    addEventListener("online", () => this.#hurry());
    addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  get isLive() { return this.#welcomed; }

  /** The service's clock, as well as it is known here. */
  serverNow() { return now() + this.#clock.offset; }

  ticker(symbol) { return this.#tickers.get(symbol); }

  /** What came since the last call, and how late. */
  takeMeters() {
    const delays = this.#delays.sort((a, b) => a - b);
    const delay = delays.length ? Math.max(0, delays[delays.length >> 1]) : NaN;
    const meters = { ...this.#meters, delay, rtt: this.#clock.lastRtt ?? NaN };
    this.#delays = [];
    this.#meters = { updates: 0, bytes: 0 };
    return meters;
  }

  connect() {
    clearTimeout(this.#timer);
    clearTimeout(this.#leave);
    this.#timer = 0;
    this.on.link("connecting", "connecting");
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    this.#heardAt = now();
    socket.onmessage = (event) => socket === this.#socket && this.#hear(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.code, event.reason);
  }

  /** Follow exactly these symbols. */
  follow(symbols) {
    const wanted = new Set(symbols);
    const gone = [...this.#tickers.keys()].filter((symbol) => !wanted.has(symbol));
    const added = symbols.filter((symbol) => !this.#tickers.has(symbol));
    for (const symbol of gone) this.#tickers.delete(symbol);
    for (const symbol of added) this.#tickers.set(symbol, new Ticker(symbol));
    if (!this.#welcomed) return;
    if (gone.length) this.#send("unsubscribe", { channel: "ticker", symbol: gone });
    this.#subscribe(added);
  }

  #send(method, params) {
    this.#requests += 1;
    this.#socket.send(JSON.stringify({ method, req_id: this.#requests, params }));
  }

  /** Subscribes, or asks again: what is held is named in `since`. */
  #subscribe(symbols) {
    if (!symbols.length) return;
    const since = {};
    for (const symbol of symbols) {
      const ticker = this.#tickers.get(symbol);
      ticker.askedAt = now();
      since[symbol] = { epoch: ticker.held.epoch, seq: ticker.held.seq };
    }
    this.#send("subscribe", { channel: "ticker", symbol: symbols, max_rate: MAX_RATE, fields: FIELDS, since });
  }

  #askAgain(symbol) {
    this.#ask.add(symbol);
    this.#askTimer ||= setTimeout(() => {
      const symbols = [...this.#ask].filter((symbol) => this.#tickers.has(symbol));
      this.#ask.clear();
      this.#askTimer = 0;
      if (this.#welcomed) this.#subscribe(symbols);
    }, ASK_GATHER_MS);
  }

  #hear(text) {
    this.#heardAt = now();
    this.#meters.bytes += text.length;
    const message = JSON.parse(text);
    if (message.method) return this.#answered(message);
    switch (message.channel) {
      case "ticker":
        for (const item of message.data) this.#tickerItem(message.type, item);
        break;
      case "status":
        for (const item of message.data) this.#statusItem(message.type, item);
        break;
      case "system":
        if (message.type === "welcome") this.#welcome(message.data[0]);
        if (message.type === "goaway") this.#goaway(message.data[0]);
        break;
    }
  }

  #tickerItem(type, item) {
    const ticker = this.#tickers.get(item.symbol);
    if (!ticker) return;
    this.#meters.updates += 1;
    if (this.#delays.length < DELAYS_MAX) this.#delays.push(this.serverNow() - item.ts_publish / 1_000);
    const { held } = ticker;
    const what = verdict(held, type, item);
    if (what === "ask") return this.#missed(ticker);
    // An update without any change in it answers a `since`: what is held is current.
    if (item.epoch === held.epoch || what === "replace") ticker.current = true;
    if (what !== "ignore") {
      if (what === "replace") ticker.values = {};
      for (const field of FIELDS) if (field in item) ticker.values[field] = item[field];
      if (what === "replace" && item.state && !ticker.heldStatus.seq) ticker.state = item.state;
      ticker.held = { epoch: item.epoch, seq: item.seq, newest: item.epoch };
      ticker.tsEvent = item.ts_event ?? ticker.tsEvent;
    }
    this.on.ticker(ticker);
  }

  #statusItem(type, item) {
    const ticker = this.#tickers.get(item.symbol);
    if (!ticker) return;
    const what = verdict(ticker.heldStatus, type, item);
    if (what === "ask") return this.#missed(ticker);
    if (what === "ignore") return;
    ticker.heldStatus = { epoch: item.epoch, seq: item.seq, newest: item.epoch };
    ticker.state = item.state;
    this.on.ticker(ticker);
  }

  #missed(ticker) {
    if (now() - ticker.askedAt > ASK_PATIENCE_MS || ticker.current) {
      ticker.current = false;
      this.#askAgain(ticker.symbol);
    }
    this.on.ticker(ticker);
  }

  #answered(message) {
    if (message.method === "pong") return this.#pong(message);
    if (message.method === "auth" && message.success) return this.#subscribe([...this.#tickers.keys()]);
    if (message.success === false) this.on.problem(message.error);
    for (const { symbol, error } of message.result?.failed ?? []) {
      const ticker = this.#tickers.get(symbol);
      if (!ticker) continue;
      ticker.state = "unknown";
      ticker.error = error;
      ticker.current = true;
      this.on.ticker(ticker);
    }
  }

  #welcome(welcome) {
    this.#welcomed = true;
    this.#attempt = 0;
    this.#heartbeatMs = welcome.heartbeat_ms ?? this.#heartbeatMs;
    this.#clock = { offset: this.#clock.offset, rtt: Infinity, at: -Infinity };
    this.on.link("live", "live");
    this.#ping();
    if (!welcome.auth_required) return this.#subscribe([...this.#tickers.keys()]);
    if (this.#token) return this.#send("auth", { token: this.#token });
    this.on.problem("this service wants a token: open this page with #token=… at its end");
  }

  /** The service is going: data flows until the delay that it chose for us has passed. */
  #goaway({ reconnect_after_ms: delay }) {
    this.on.link("live", "live, the service is restarting");
    clearTimeout(this.#leave);
    this.#leave = setTimeout(() => this.#socket.close(1000), delay + 1_000);
  }

  #ping() {
    this.#pingSentAt = now();
    this.#send("ping");
  }

  #pong({ ts_publish: theirs }) {
    const rtt = now() - this.#pingSentAt;
    const clock = this.#clock;
    clock.lastRtt = rtt;
    // A slow round trip says little of the clocks, an old one says nothing.
    if (rtt > clock.rtt * 1.5 && now() - clock.at < 60_000) return;
    clock.rtt = rtt;
    clock.at = now();
    clock.offset = theirs / 1_000 + rtt / 2 - now();
  }

  #watch() {
    const silence = now() - this.#heardAt;
    if (!this.#socket) return;
    if (!this.#welcomed && silence > CONNECT_PATIENCE_MS) return this.#abandon("no answer");
    if (!this.#welcomed) return;
    if (silence > HEARTBEATS_MISSED_MAX * this.#heartbeatMs) return this.#abandon("no heartbeat");
    if (now() - this.#pingSentAt > PING_EVERY_MS) this.#ping();
    for (const ticker of this.#tickers.values()) {
      const waits = !ticker.current && now() - ticker.askedAt > ASK_PATIENCE_MS;
      if (waits && ticker.askedAt > 0) this.#askAgain(ticker.symbol);
    }
  }

  /** Gives a dead connection up without waiting for its close. */
  #abandon(reason) {
    const socket = this.#socket;
    this.#lost(1006, reason);
    socket.close();
  }

  #lost(code, reason) {
    this.#socket = null;
    this.#welcomed = false;
    clearTimeout(this.#leave);
    for (const ticker of this.#tickers.values()) {
      // Epochs are compared within one connection only; what is held stays, for `since`.
      ticker.held.newest = 0;
      ticker.heldStatus = nothing();
      ticker.current = false;
      ticker.askedAt = -Infinity;
      this.on.ticker(ticker);
    }
    if (code >= 4400 && code < 4500) {
      // Do not come back unchanged.
      return this.on.link("refused", `refused: ${code} ${reason}`);
    }
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#attempt);
    const wait = ceiling * (0.5 + Math.random() / 2);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.connect(), wait);
    const why = reason || (code === 1001 ? "the service went away" : "connection lost");
    this.on.link("waiting", `${why}, trying again in ${Math.ceil(wait / 1_000)} s`);
  }

  /** The network is back, or somebody is looking: no reason to wait longer. */
  #hurry() {
    if (this.#timer) this.connect();
  }
}
