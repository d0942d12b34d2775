// A session without socket and clock, for tests that play messages and look at requests.

import { Frames } from "../dist/frames.js";
import { Session } from "../dist/session.js";
import { LiveSubscription } from "../dist/subscription.js";

export class Desk {
  now = 1_000_000;
  counters = { resyncs: 0, checksumFailures: 0, missedTrades: 0 };
  faults = [];
  statuses = [];
  unheardOf = [];
  session;
  frames = new Frames();
  #ids = 0;

  constructor({ verifies = false } = {}) {
    this.session = new Session(verifies, this.counters, {
      status: (change) => this.statuses.push(change),
      fault: (text, code) => this.faults.push([code, text]),
      wake: () => {},
    });
  }
  unheard(channel, symbol, failure) {
    this.unheardOf.push([channel, symbol, failure.code]);
  }
  left() {}

  subscribe(channel, symbols, options = {}, onUpdate = undefined) {
    return new LiveSubscription(this, ++this.#ids, channel, symbols, options, onUpdate);
  }
  connect(requestBytesMax = 65536) {
    this.session.connected(this.now, requestBytesMax);
    return this.take();
  }
  /** What is asked now, as `[method, params, req_id]`. */
  take() {
    return this.session.take(this.now).map(({ method, params, req_id }) => [method, params, req_id]);
  }
  /** Lets time pass, then takes. */
  after(ms) {
    this.now += ms;
    return this.take();
  }
  /** Answers a request with what it asked for. */
  grant([, params, reqId], { failed = [], globs, ...more } = {}) {
    const { channel, symbol, since: _, snapshot: __, ...options } = params;
    const bad = new Set(failed.map((one) => one.symbol));
    const result = {
      channel, symbol: symbol.filter((name) => !name.includes("*") && !bad.has(name)),
      globs: globs ?? symbol.filter((name) => name.includes("*") && !bad.has(name)).map((pattern) => ({ pattern, matched: 1 })),
      failed, ...options, ...more,
    };
    this.session.answer({ method: "subscribe", req_id: reqId, success: true, result }, this.now);
  }
  refuse([method, , reqId], code, error) {
    this.session.answer({ method, req_id: reqId, success: false, code, error }, this.now);
  }
  push(channel, type, ...data) {
    this.session.data({ channel, type, data }, this.now);
  }
  status(symbol, state, seq = 1, epoch = 1) {
    this.push("status", "snapshot", { symbol, epoch, seq, state, ts_state: 1 });
  }
  ticker(symbol, epoch, seq, fields, prev = undefined) {
    const item = { symbol, epoch, seq, ...fields, ts_event: seq, ts_publish: seq + 1 };
    if (prev === undefined) this.push("ticker", "snapshot", { ...item, state: "live" });
    else this.push("ticker", "update", { ...item, prev });
  }
}

export const since = (epoch, seq) => ({ epoch, seq });
