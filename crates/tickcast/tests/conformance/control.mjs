// The driver that shows that the conformance script can tell right from wrong: the client's rule
// with plain maps, JSON only. With the argument `blind` it takes every update, also across a gap.
// usage: node control.mjs [blind], with the environment of clients/conformance/README.md

import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const usual = path.resolve(here, "../../../../.tools/npm/node_modules");
const folder = process.env.TICKCAST_NODE_PATH ?? usual;
const { WebSocket } = createRequire(path.resolve(folder, "from-here.js"))("ws");

const { TICKCAST_URL, TICKCAST_TOKEN_URL, TICKCAST_SUBSCRIPTIONS } = process.env;
const isBlind = process.argv[2] === "blind";
const wanted = JSON.parse(TICKCAST_SUBSCRIPTIONS);
const BACKOFF_MS = { base: 50, max: 500 };
/** How long symbols that have to be asked for again are gathered. */
const GATHER_MS = 100;
/** A token is replaced so long before its end, or at half its life. */
const REFRESH_MS = 30_000;

const connection = { state: "connecting", transport: "websocket", encoding: "json", reconnects: 0, resyncs: 0, checksum_failures: 0 };
const statuses = {};
/** By channel and symbol: what is held. */
const held = Object.fromEntries(wanted.map(({ channel }) => [channel, new Map()]));
let socket = null;
let attempts = 0;
let notBefore = 0;
let isStopping = false;

const token = async () => (await fetch(TICKCAST_TOKEN_URL)).text();
const send = (request) => socket.readyState === 1 && socket.send(JSON.stringify(request));

function connect() {
  const mine = new WebSocket(`${TICKCAST_URL}/v1/ws`, "tickcast.v1.json");
  socket = mine;
  const line = { newest: new Map(), lastHeard: Date.now(), heartbeatMs: 5_000, asks: new Map(), timers: [] };
  line.timers.push(setInterval(() => {
    if (Date.now() - line.lastHeard > 3 * line.heartbeatMs) mine.terminate();
  }, 250));
  mine.on("error", () => {});
  mine.on("message", (text) => {
    line.lastHeard = Date.now();
    hear(JSON.parse(text), line);
  });
  mine.on("close", (code) => {
    for (const timer of line.timers) clearInterval(timer);
    if (isStopping) return;
    const isFinal = code >= 4400 && code < 4500 && code !== 4401;
    connection.state = isFinal ? "closed" : "reconnecting";
    if (isFinal) return;
    const backoff = Math.min(BACKOFF_MS.max, BACKOFF_MS.base * 2 ** attempts) * (0.5 + Math.random() / 2);
    attempts += 1;
    setTimeout(connect, Math.max(backoff, notBefore - Date.now()));
  });
}

async function hear(message, line) {
  if (message.channel === "system" && message.type === "welcome") {
    line.heartbeatMs = message.data[0].heartbeat_ms;
    return send({ method: "auth", req_id: 0, params: { token: await token() } });
  }
  if (message.channel === "system" && message.type === "goaway") {
    notBefore = Date.now() + message.data[0].reconnect_after_ms;
    return undefined;
  }
  if (message.method === "auth") return authenticated(message, line);
  if (message.method || message.channel === "heartbeat") return undefined;
  for (const item of message.data) {
    if (message.channel === "status") statuses[item.symbol] = item.state;
    else if (held[message.channel]) take(message.channel, message.type, item, line);
  }
  return undefined;
}

/** Subscribes, and replaces the token before it ends; one that is not good closes the line. */
function authenticated({ success, result }, line) {
  if (!success) return;
  const life = result.expires * 1_000 - Date.now();
  line.timers.push(setTimeout(async () => {
    send({ method: "auth", req_id: 1, params: { token: await token() } });
  }, Math.max(life / 2, life - REFRESH_MS)));
  if (line.isSubscribed) return;
  line.isSubscribed = true;
  if (attempts > 0) connection.reconnects += 1;
  attempts = 0;
  connection.state = "live";
  for (const params of wanted) {
    const since = {};
    for (const [symbol, { epoch, seq }] of held[params.channel]) since[symbol] = { epoch, seq };
    send({ method: "subscribe", req_id: 2, params: { ...params, since } });
  }
}

/** The client's rule. */
function take(channel, type, item, line) {
  const key = `${channel} ${item.symbol}`;
  const mine = held[channel].get(item.symbol) ?? { epoch: 0, seq: 0 };
  if (item.epoch < (line.newest.get(key) ?? 0)) return;
  if (type === "snapshot") {
    held[channel].set(item.symbol, KEEP[channel]({}, item));
  } else {
    if (item.epoch < mine.epoch || (item.epoch === mine.epoch && item.seq <= mine.seq)) return;
    const isGap = item.epoch !== mine.epoch || item.prev > mine.seq;
    if (isGap && !(isBlind && item.epoch === mine.epoch)) return again(channel, item.symbol, mine, line);
    held[channel].set(item.symbol, KEEP[channel](mine, item));
  }
  line.newest.set(key, item.epoch);
  const { top, checksum } = held[channel].get(item.symbol);
  if (isBlind || channel !== "book" || checksumOf(top) === checksum) return;
  connection.checksum_failures += 1;
  held.book.delete(item.symbol);
  again(channel, item.symbol, { epoch: 0, seq: 0 }, line);
}

/** Gathers what has to be asked for again. */
function again(channel, symbol, { epoch, seq }, line) {
  if (!line.asks.has(channel)) {
    line.asks.set(channel, {});
    line.timers.push(setTimeout(() => {
      const since = line.asks.get(channel);
      line.asks.delete(channel);
      connection.resyncs += Object.keys(since).length;
      send({ method: "subscribe", req_id: 3, params: { ...wanted.find((one) => one.channel === channel), since } });
    }, GATHER_MS));
  }
  line.asks.get(channel)[symbol] = { epoch, seq };
}

/** How an item is laid over what is held, by channel. */
const KEEP = {
  ticker: (mine, item) => ({ ...mine, ...item }),
  trades: (mine, item) => ({
    ...mine, ...item,
    trades: [...(mine.trades ?? []), ...item.trades.filter(({ seq }) => seq > (mine.seq ?? 0))],
  }),
  bars: (mine, item) => {
    const bars = new Map((mine.bars ?? []).map((bar) => [bar.start, bar]));
    for (const bar of item.bars) bars.set(bar.start, bar);
    return { ...mine, ...item, bars: [...bars.values()].sort((a, b) => a.start - b.start) };
  },
  book: (mine, item) => {
    const top = {};
    for (const [side, sign] of [["bids", -1], ["asks", 1]]) {
      const levels = new Map(mine.top?.[side]);
      for (const [price, size] of item[side]) {
        if (Number(size) === 0) levels.delete(price);
        else levels.set(price, size);
      }
      top[side] = [...levels].sort(([a], [b]) => sign * (a - b));
    }
    return { ...mine, ...item, top };
  },
};

function checksumOf({ bids, asks }) {
  const digits = (text) => text.replace(".", "").replace(/^0+/, "");
  let sum = ~0;
  for (const char of [...asks.slice(0, 10), ...bids.slice(0, 10)].flat().map(digits).join("")) {
    sum ^= char.charCodeAt(0);
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}

function state() {
  const isLive = connection.state === "live";
  const all = { connection, status: {} };
  for (const symbol of Object.keys(statuses)) all.status[symbol] = isLive ? statuses[symbol] : "stale";
  for (const [channel, items] of Object.entries(held)) {
    all[channel] = {};
    for (const [symbol, { top, ...item }] of items) {
      const whole = { ...item, ...top, state: all.status[symbol] };
      all[channel][symbol] = channel === "bars" ? { [item.interval]: whole } : whole;
    }
  }
  return all;
}

connect();
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "state") console.log(JSON.stringify(state()));
  if (line === "stop") break;
}
isStopping = true;
socket.close(1000);
process.exit(0);
