// Judges what a client receives: the client's rule, the order of messages and the shape of every
// value. It opens nothing; it is handed each message as text and keeps what it needs to judge.

const DECIMAL = /^\d+(\.\d+)?$/;
const STATES = ["live", "stale", "resync", "halted", "closed"];
const TICKER_FIELDS = [
  "last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume",
];
const BOOK_CHECKSUM_LEVELS = 10;

export class Fault extends Error {}

/** Fails with what was expected and what was seen. */
export function expect(holds, expected, seen) {
  if (holds) return;
  const text = typeof seen === "string" ? seen : JSON.stringify(seen);
  throw new Fault(`expected ${expected}; saw ${String(text).slice(0, 600)}`);
}

const isTime = (value) => Number.isSafeInteger(value) && value > 1e15;
const isSeq = (value) => Number.isSafeInteger(value) && value >= 0;

export class Witness {
  #streams = new Map();
  #answered = new Set();
  #statuses = new Map();
  #book = new Map();
  /** Messages by `channel type`, data items counted. */
  counts = new Map();
  welcome = null;
  goaway = null;
  heartbeats = 0;
  /** Answers by req_id. */
  answers = new Map();

  /** What is held of a stream: `{epoch, seq}`. */
  held(channel, symbol) { return this.#streams.get(`${channel} ${symbol}`); }

  /** The values held of a stream, after snapshot and updates. */
  values(channel, symbol) { return this.held(channel, symbol)?.values; }

  count(what) { return this.counts.get(what) ?? 0; }

  status(symbol) { return this.#statuses.get(symbol); }

  /** Since when a channel's data is expected: after the answer to its subscribe. */
  forget(channel) { this.#answered.delete(channel); }

  hear(text) {
    expect(typeof text === "string", "text frames", typeof text);
    const message = JSON.parse(text);
    if (this.welcome === null) {
      expect(message.channel === "system" && message.type === "welcome", "welcome first", message);
      return this.#welcome(message);
    }
    if (message.method) return this.#answer(message);
    if (message.channel === "heartbeat") {
      expect(isTime(message.ts_publish), "a heartbeat with ts_publish", message);
      this.heartbeats += 1;
      return undefined;
    }
    if (message.channel === "system" && message.type === "goaway") {
      this.goaway = message.data[0];
      expect(this.goaway.reconnect_after_ms >= 0, "a delay in goaway", message);
      return undefined;
    }
    expect(Array.isArray(message.data) && message.data.length > 0, "data", message);
    for (const item of message.data) this.#item(message, item);
    return undefined;
  }

  /** Judges one message by itself, as REST gives it: no welcome, no answer, no status before it. */
  judgeAlone({ channel, type, data }) {
    for (const item of data) this.#follow(channel, type, item);
  }

  #welcome(message) {
    const [data] = message.data;
    const { limits } = data;
    expect(data.session?.length > 0 && data.version?.length > 0, "session and version", message);
    expect(data.heartbeat_ms > 0 && data.auth_required === false, "heartbeat_ms, no auth", message);
    for (const limit of ["subscriptions", "instruments", "message_bytes"]) {
      expect(limits?.[limit] > 0, `limits.${limit} above 0`, message);
    }
    this.welcome = data;
  }

  #answer(message) {
    if (message.method === "pong") expect(isTime(message.ts_publish), "pong with time", message);
    else expect(typeof message.success === "boolean", "success in an answer", message);
    this.answers.set(message.req_id, message);
    if (message.method === "subscribe" && message.success) {
      this.#answered.add(message.result.channel);
    }
  }

  #item({ channel, type }, item) {
    expect(["snapshot", "update"].includes(type), "snapshot or update", { channel, type });
    expect(typeof item.symbol === "string", "a symbol", item);
    expect(isSeq(item.epoch) && item.epoch > 0 && isSeq(item.seq), "epoch and seq", item);
    const key = `${channel} ${type}`;
    this.counts.set(key, this.count(key) + 1);
    if (channel === "status") {
      expect(STATES.includes(item.state) && isTime(item.ts_state), "state, ts_state", item);
      this.#statuses.set(item.symbol, item.state);
    } else {
      expect(this.#answered.has(channel), `no ${channel} outside its subscription`, item);
      expect(this.#statuses.has(item.symbol), "status before data", { channel, ...item });
      expect(isTime(item.ts_publish), "ts_publish", item);
    }
    this.#follow(channel, type, item);
  }

  /** The client's rule; on a connection that reads everything nothing is ever missing. */
  #follow(channel, type, item) {
    const name = `${channel} ${item.symbol}`;
    const held = this.#streams.get(name) ?? { epoch: 0, seq: 0, newest: 0, values: null };
    if (item.epoch < held.newest) return;
    if (type === "snapshot") {
      if (channel !== "status") expect(item.state !== undefined, "state in a snapshot", item);
    } else {
      expect(isSeq(item.prev) && item.prev <= item.seq, "prev at most seq in an update", item);
      expect(held.values !== null, `a snapshot first on ${name}`, item);
      expect(item.epoch === held.epoch, `epoch ${held.epoch} on ${name}`, item);
      if (item.seq <= held.seq) return;
      expect(item.prev <= held.seq, `prev at most ${held.seq} on ${name}`, item);
    }
    const values = CHANNELS[channel]?.call(this, type, item, held) ?? item;
    this.#streams.set(name, { epoch: item.epoch, seq: item.seq, newest: item.epoch, values });
  }

  /** Continues streams of an earlier connection: updates that answer `since` are then in order. */
  resume(channel, symbol, held) { this.#streams.set(`${channel} ${symbol}`, { ...held, newest: 0 }); }

  book(symbol) { return this.#book.get(symbol); }

  applyBook(type, item) {
    expect(item.depth === 10, "depth 10", item);
    const old = type === "snapshot" ? undefined : this.#book.get(item.symbol);
    const book = { bids: new Map(old?.bids), asks: new Map(old?.asks) };
    for (const side of ["bids", "asks"]) {
      for (const [price, size] of item[side]) {
        expect(DECIMAL.test(price) && DECIMAL.test(size), "decimal levels", item);
        if (Number(size) === 0) book[side].delete(price);
        else book[side].set(price, size);
      }
      expect(book[side].size <= item.depth, `at most ${item.depth} ${side}`, [...book[side]]);
    }
    const best = {
      bids: [...book.bids].sort(([a], [b]) => b - a), asks: [...book.asks].sort(([a], [b]) => a - b),
    };
    const sum = bookChecksum(best);
    expect(sum === item.checksum, `checksum ${sum} over ${JSON.stringify(best)}`, item);
    this.#book.set(item.symbol, book);
    return best;
  }
}

/** How the values of each channel are judged and merged. */
const CHANNELS = {
  ticker(type, item, held) {
    for (const field of TICKER_FIELDS) {
      const value = item[field];
      if (value === undefined) expect(type === "update", `${field} in a snapshot`, item);
      else expect(value === null || DECIMAL.test(value), `a decimal or null in ${field}`, item);
    }
    expect(isTime(item.ts_event), "ts_event", item);
    return type === "snapshot" ? { ...item } : { ...held.values, ...item };
  },

  book(type, item) { return this.applyBook(type, item); },

  trades(type, item, held) {
    const seqs = item.trades.map(({ seq }) => seq);
    expect(seqs.every((seq, at) => at === 0 || seq === seqs[at - 1] + 1), "dense trades", seqs);
    if (seqs.length) expect(seqs.at(-1) === item.seq, `the last trade's seq ${item.seq}`, seqs);
    const fresh = seqs.find((seq) => type === "snapshot" || seq > held.seq);
    if (type === "update") expect(fresh === held.seq + 1, `trade ${held.seq + 1} next`, item);
    for (const trade of item.trades) {
      expect(DECIMAL.test(trade.price) && DECIMAL.test(trade.size), "decimals", trade);
      expect(["buy", "sell"].includes(trade.side) && isTime(trade.ts_event), "side, time", trade);
    }
    return item;
  },

  bars(type, item) {
    expect(item.interval === "1s", "interval 1s", item);
    for (const bar of item.bars) {
      const [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(Number);
      expect(isTime(bar.start) && bar.start % 1_000_000 === 0, "a start on a whole second", bar);
      expect(low <= Math.min(open, close) && high >= Math.max(open, close), "low and high", bar);
      expect(DECIMAL.test(bar.volume) && bar.trades > 0, "volume and trades", bar);
      expect(typeof bar.closed === "boolean", "closed", bar);
    }
    return item;
  },
};

/** Kraken's CRC-32 over the top ten, asks first, of the digits as they were sent. */
export function bookChecksum({ bids, asks }) {
  const digits = (text) => text.replace(".", "").replace(/^0+/, "");
  const top = [...asks.slice(0, BOOK_CHECKSUM_LEVELS), ...bids.slice(0, BOOK_CHECKSUM_LEVELS)];
  let sum = ~0;
  for (const char of top.map(([price, size]) => digits(price) + digits(size)).join("")) {
    sum ^= char.charCodeAt(0);
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}
