// One client's whole life against the service, written for the standard WebSocket interface:
// Node runs it with the `ws` package, Chromium with its own WebSocket. Everything that is waited
// for has a deadline, and every failure says what was expected and what was seen.

import { Fault, Witness, expect } from "./witness.mjs";

const PATIENCE_MS = 60_000;
const SUBPROTOCOL = "tickcast.v1.json";
/** Updates that must be seen before a channel is believed to flow. */
const UPDATES_MIN = 20;

/** A connection whose every message is judged. */
export class Client {
  #requests = 0;
  #waiting = new Set();
  #fault = null;

  static async open(WebSocket, base, witness = new Witness()) {
    const client = new Client();
    const url = `${base.replace(/^http/, "ws")}/v1/ws`;
    client.witness = witness;
    client.socket = new WebSocket(url, SUBPROTOCOL);
    client.closed = null;
    client.socket.addEventListener("message", ({ data }) => {
      try {
        witness.hear(data);
      } catch (error) {
        client.#fault ??= error;
      }
      client.#look();
    });
    client.socket.addEventListener("close", ({ code, wasClean }) => {
      client.closed = { code, wasClean };
      client.#look();
    });
    await client.until(() => witness.welcome, "a welcome");
    expect(client.socket.protocol === SUBPROTOCOL, SUBPROTOCOL, client.socket.protocol);
    // Browsers and npm's ws always offer it.
    const { extensions } = client.socket;
    expect(extensions.startsWith("permessage-deflate"), "permessage-deflate", extensions);
    return client;
  }

  #look() {
    for (const look of this.#waiting) look();
  }

  /** Waits until `ready()` answers something, which may end with the connection closed. */
  until(ready, what, patience = PATIENCE_MS) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        settle(value);
      };
      const look = () => {
        if (this.#fault) return done(reject, this.#fault);
        const value = ready();
        if (value) return done(resolve, value);
        if (this.closed) return done(reject, this.#missing(what, "a close"));
        return undefined;
      };
      const timer = setTimeout(() => done(reject, this.#missing(what, "nothing more")), patience);
      this.#waiting.add(look);
      look();
    });
  }

  #missing(what, instead) {
    const counts = JSON.stringify([...this.witness.counts]);
    return new Fault(`expected ${what}; saw ${instead} ${JSON.stringify(this.closed)}, ${counts}`);
  }

  /** Sends a request and waits for its answer. */
  async request(method, params) {
    this.#requests += 1;
    const id = this.#requests;
    this.socket.send(JSON.stringify({ method, req_id: id, params }));
    return this.until(() => this.witness.answers.get(id), `an answer to ${method}`);
  }

  async subscribe(params) {
    const answer = await this.request("subscribe", params);
    expect(answer.success && answer.result.channel === params.channel, "success", answer);
    return answer.result;
  }

  async close() {
    this.socket.close(1000, "done");
    await this.until(() => this.closed, "a close");
    expect(this.closed.code === 1000 && this.closed.wasClean, "a clean close 1000", this.closed);
  }
}

/** Everything but the end of the service. `env` is `{WebSocket, base, log}`. */
export async function session(env) {
  const quiet = await Client.open(env.WebSocket, env.base);
  const symbols = await instruments(env);
  const client = await Client.open(env.WebSocket, env.base);
  await ticker(client, symbols, env);
  await otherChannels(client, symbols[0], env);
  await requests(client, env);
  await rest(client, symbols[0], env);
  await unsubscribe(client, env);
  await client.close();
  env.log("closed cleanly");
  await resume({ ...env, symbol: symbols[0] });

  const { heartbeat_ms: beat } = quiet.witness.welcome;
  await quiet.until(() => quiet.witness.heartbeats > 0, "a heartbeat in silence", beat * 3);
  await quiet.close();
  env.log("a silent connection gets heartbeats");
}

/** Holds a subscription until the service goes: `ready` is called when it may be stopped. */
export async function farewell(env, ready) {
  const client = await Client.open(env.WebSocket, env.base);
  await client.subscribe({ channel: "ticker", symbol: ["sim:*"] });
  await client.until(() => client.witness.count("ticker update") >= UPDATES_MIN, "updates");
  await ready();
  const goaway = await client.until(() => client.witness.goaway, "goaway");
  expect(goaway.reason === "drain", "the reason drain", goaway);
  await client.until(() => client.closed, "a close after goaway");
  expect(client.closed.code === 1001 && client.closed.wasClean, "a clean 1001", client.closed);
  env.log("goaway, then 1001");
}

async function instruments({ base, log }) {
  const { instruments: list } = await json(`${base}/v1/instruments`);
  expect(list?.length === 20, "20 instruments", list);
  for (const one of list) {
    for (const key of ["symbol", "venue", "venue_symbol", "tick_size", "lot_size", "state"]) {
      expect(one[key] !== undefined, `${key} of an instrument`, one);
    }
  }
  log(`${list.length} instruments`);
  return list.map(({ symbol }) => symbol);
}

async function ticker(client, symbols, { log }) {
  const { witness } = client;
  const result = await client.subscribe({ channel: "ticker", symbol: ["sim:*", "sim:NOPE"] });
  const [glob] = result.globs;
  expect(glob.pattern === "sim:*" && glob.matched === symbols.length, "the glob's count", result);
  const [failed] = result.failed;
  expect(failed?.symbol === "sim:NOPE" && failed.code === 4404, "4404 for sim:NOPE", result);
  const all = () => symbols.every((symbol) => witness.held("ticker", symbol));
  await client.until(all, `a ticker snapshot of each of ${symbols.length} symbols`);
  await client.until(() => witness.count("ticker update") >= UPDATES_MIN, "ticker updates");
  await client.until(() => symbols.every((symbol) => witness.status(symbol) === "live"), "every instrument live");
  await client.until(() => {
    const { bid, ask, last } = witness.values("ticker", symbols[0]);
    return Number(bid) > 0 && Number(ask) > 0 && Number(last) > 0;
  }, "prices");
  log(`ticker: ${symbols.length} snapshots, updates in order`);
}

async function otherChannels(client, symbol, { log }) {
  const { witness } = client;
  for (const params of [{ channel: "book", depth: 10 }, { channel: "trades" },
    { channel: "bars", interval: "1s" }]) {
    const { channel } = params;
    await client.subscribe({ ...params, symbol: [symbol] });
    await client.until(() => witness.held(channel, symbol), `a ${channel} snapshot`);
    await client.until(() => witness.count(`${channel} update`) >= UPDATES_MIN, `${channel} updates`);
    expect(witness.count(`${channel} snapshot`) === 1, `one ${channel} snapshot`, [...witness.counts]);
    log(`${channel}: a snapshot, updates in order`);
  }
  const { bids, asks } = witness.values("book", symbol);
  expect(bids.length > 0 && asks.length > 0, "levels on both sides", { bids, asks });
  expect(Number(bids[0][0]) < Number(asks[0][0]), "best bid below best ask", { bids, asks });
}

async function requests(client, { log }) {
  const refused = await client.request("subscribe", { channel: "tikcer", symbol: ["sim:*"] });
  expect(refused.success === false && refused.code === 4400, "a refusal with 4400", refused);
  for (const part of ["params.channel", "tikcer", "ticker"]) {
    expect(refused.error?.includes(part), `an error that names ${part}`, refused);
  }
  const pong = await client.request("ping");
  expect(pong.method === "pong", "pong from the same connection", pong);
  const stats = await client.request("stats");
  const { subscriptions, instruments: count, sent_messages: sent } = stats.result ?? {};
  expect(stats.success && subscriptions > 0 && count >= 20 && sent > 0, "stats", stats);
  log("a bad request is refused by name, and the connection lives on");
}

async function rest({ witness }, symbol, { base, log }) {
  for (const [channel, more] of [["ticker", ""], ["book", "&depth=10"], ["trades", ""],
    ["bars", "&interval=1s"]]) {
    const before = witness.held(channel, symbol);
    const text = await json(`${base}/v1/snapshot?channel=${channel}&symbol=${symbol}${more}`);
    expect(text.channel === channel && text.type === "snapshot", `a ${channel} snapshot`, text);
    expect(text.data?.length === 1 && text.data[0].symbol === symbol, `data of ${symbol}`, text);
    const [item] = text.data;
    expect(item.epoch === before.epoch && item.seq >= before.seq, `seq from ${before.seq}`, item);
    const other = new Witness();
    other.judgeAlone(text);
  }
  const answer = await fetch(`${base}/v1/snapshot?channel=ticker&symbol=sim:NOPE`);
  const body = await answer.json();
  expect(answer.status === 404 && body.code === 4404 && body.error, "404, code 4404", body);
  log("REST gives the message that a subscriber gets");
}

async function unsubscribe(client, { log }) {
  const { witness } = client;
  const answer = await client.request("unsubscribe", { channel: "ticker", symbol: ["sim:*"] });
  expect(answer.success === true, "success", answer);
  // From here on the witness refuses ticker data; trades tell that time has passed.
  witness.forget("ticker");
  const seen = witness.count("trades update");
  await client.until(() => witness.count("trades update") > seen + 5, "more trades");
  log("no ticker after unsubscribe");
}

/** A second connection that says what it holds gets exactly what changed. */
async function resume(env) {
  const symbol = env.symbol;
  const first = await Client.open(env.WebSocket, env.base);
  await first.subscribe({ channel: "ticker", symbol: [symbol] });
  await first.until(() => first.witness.count("ticker update") > 0, "an update");
  await first.close();
  const held = first.witness.held("ticker", symbol);
  const second = await Client.open(env.WebSocket, env.base);
  second.witness.resume("ticker", symbol, held);
  const since = { [symbol]: { epoch: held.epoch, seq: held.seq } };
  await second.subscribe({ channel: "ticker", symbol: [symbol], since });
  const { witness } = second;
  await second.until(() => witness.count("ticker update") > 1, "updates after since");
  expect(witness.count("ticker snapshot") === 0, "no snapshot after since", [...witness.counts]);
  await second.close();
  env.log("a connection with since gets updates only");
}

async function json(url) {
  const answer = await fetch(url);
  expect(answer.ok, `200 from ${url}`, answer.status);
  return answer.json();
}
