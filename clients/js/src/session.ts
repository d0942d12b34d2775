// Everything that one client holds over all of its connections: messages and the time go in, what
// is held changes by the client's rule, requests come out.
//
// Knows no socket and no clock.

import { Calls } from "./calls.js";
import { NOT_ENTITLED } from "./fault.js";
import { Holdings } from "./holdings.js";
import { type AnswerListener, Outbox } from "./outbox.js";
import type { Holder, Placement } from "./placements.js";
import type { Stream } from "./stream.js";
import { TICKER_FIELDS, type TickerStream } from "./ticker.js";
import type { TradesStream } from "./trades.js";
import type { Channel, Failure, Interval, StatusChange, TradingState } from "./types.js";
import type { Answer, BarsItem, DataMessage, GrantedResult, Item, Request, StatusItem } from "./wire.js";

/** After a refusal that passes (45xx) nothing is asked for so long; doubles up to the maximum. */
const REFUSED_MS = 1_000;
const REFUSED_MS_MAX = 30_000;

/** All streams of a channel are asked for again no sooner than this, ms. */
const UNKNOWN_MS = 1_000;

/** Whom the session tells. */
export interface SessionListener {
  status(change: StatusChange): void;
  fault(text: string, code: number | undefined): void;
  /** `take` has something to give, maybe earlier than `nextAt` said. */
  wake(): void;
}

/** What is counted; the connection's counters. */
export interface Counters {
  resyncs: number;
  checksumFailures: number;
  missedTrades: number;
}

export class Session implements AnswerListener {
  readonly calls = new Calls();
  readonly held: Holdings;
  readonly outbox: Outbox;
  #refusals = 0;
  /** When all streams of a channel were last asked for again. */
  #unknownAt = -Infinity;

  constructor(verifiesBooks: boolean, readonly counters: Counters, readonly listener: SessionListener) {
    this.held = new Holdings(verifiesBooks);
    this.outbox = new Outbox(this.held, this.calls, this);
  }

  /** As told, or `stale` while the connection is not live. */
  status(symbol: string): TradingState | undefined {
    const told = this.held.statuses.get(symbol);
    return told !== undefined && !this.held.isLive ? "stale" : told;
  }

  // ------------------------------------------------------------ what the application wants

  /** Begins a subscription to a pattern, or changes its options in place. */
  hold(holder: Holder, pattern: string): void {
    const placement = this.held.placements.hold(holder, pattern);
    this.held.attach(holder, placement);
    this.listener.wake();
  }

  release(holder: Holder, interval: Interval | undefined, pattern: string): void {
    const ended = this.held.placements.release(holder, interval, pattern);
    if (ended !== undefined) this.outbox.end(ended);
    this.held.release(holder, interval, pattern);
    this.listener.wake();
  }

  take(now: number): Request[] {
    return this.outbox.take(now);
  }

  // ------------------------------------------------------------ connections

  /** A connection can be asked: everything is subscribed to anew, with what is held. */
  connected(now: number, requestBytesMax: number): void {
    const { held } = this;
    held.isLive = true;
    this.outbox.reset(now, requestBytesMax);
    held.statuses.reconnected();
    for (const placement of held.placements.all()) {
      placement.phase = "due";
      placement.reqId = 0;
    }
    for (const stream of held.streams.all()) {
      held.again.done(stream);
      stream.rule.reconnected();
    }
    this.listener.wake();
  }

  /** A new token may bring rights: names that there was no right to are asked for again. */
  rightsChanged(): void {
    for (const placement of this.held.placements.all()) {
      if (placement.phase === "failed" && placement.code === NOT_ENTITLED) placement.phase = "due";
    }
    this.listener.wake();
  }

  /** It cannot be asked any more: nothing that is held is known to be current. */
  disconnected(now: number): void {
    this.calls.clear(now);
    if (!this.held.isLive) return;
    this.held.isLive = false;
    for (const stream of this.held.streams.all()) {
      stream.confirmed = false;
      this.held.refresh(stream);
    }
  }

  /** An event stream begins for these placements: it begins with snapshots, wherever they stand. */
  opened(placements: readonly Placement[], now: number): void {
    const opened = new Set(placements);
    for (const placement of placements) {
      placement.phase = "asked";
      placement.at = now;
    }
    for (const stream of this.held.streams.all()) {
      const winner = this.held.winner(stream);
      if (winner !== undefined && opened.has(winner)) stream.rule.reconnected();
    }
  }

  // ------------------------------------------------------------ what comes in

  data(message: DataMessage, now: number): void {
    const isSnapshot = message.type === "snapshot";
    const { channel, data } = message;
    if (!Array.isArray(data)) return;
    if (message.type === "unknown" && channel !== "status") this.#unknown(channel, now);
    for (const item of data as Item[]) {
      if (channel === "status") this.#status(item as StatusItem, isSnapshot);
      else this.#item(channel, item, isSnapshot, now);
    }
  }

  #status(item: StatusItem, isSnapshot: boolean): void {
    const { statuses, streams } = this.held;
    const previous = statuses.get(item.symbol);
    if (!statuses.take(item, isSnapshot)) return;
    if (previous !== item.state) this.listener.status({ symbol: item.symbol, state: item.state, previous });
    for (const stream of streams.of(item.symbol)) this.held.refresh(stream);
  }

  #item(channel: Channel, item: Item, isSnapshot: boolean, now: number): void {
    const interval = channel === "bars" ? (item as BarsItem).interval : undefined;
    const stream = this.held.open(channel, interval, item.symbol);
    if (stream === undefined) return; // Of something that has just been unsubscribed from.
    const { rule } = stream;
    const mine = rule.held && rule.epoch === item.epoch ? rule.seq : undefined;
    const verdict = rule.judge(item, isSnapshot, isSnapshot || stream.shows(item));
    if (verdict === "applied") {
      this.#apply(stream, item, isSnapshot, mine, now);
    } else if (verdict === "gap") {
      this.#gap(stream, now);
    } else if (mine !== undefined && item.prev === item.seq) {
      // The answer to a `since` that is up to date is an update without any change.
      this.held.confirm(stream);
      this.held.refresh(stream);
    }
  }

  #apply(stream: Stream, item: Item, isSnapshot: boolean, mine: number | undefined, now: number): void {
    const missed = stream.channel === "trades" ? (stream as unknown as TradesStream).view.missed : 0;
    const isRight = stream.apply(item, isSnapshot, mine);
    const view: { epoch: number; seq: number; receivedAt: number } = stream.view;
    view.epoch = item.epoch;
    view.seq = item.seq;
    view.receivedAt = now;
    stream.seen = true;
    if (isSnapshot && item.state !== undefined) this.held.statuses.assume(item.symbol, item.state);
    if (stream.channel === "trades") {
      this.counters.missedTrades += (stream as unknown as TradesStream).view.missed - missed;
    }
    if (isRight) {
      this.held.confirm(stream);
    } else {
      this.counters.checksumFailures += 1;
      stream.rule.forget();
      this.held.again.gap(stream, now);
      this.listener.wake();
    }
    stream.show(this.held.stateOf(stream));
    stream.tell();
  }

  /**
   * What a stream's number stands for was not told, so that it may be any of the channel: each is
   * asked for again, also those of which nothing but a status has come. Mostly it is of an epoch that
   * has ended, so none counts as stale for it.
   */
  #unknown(channel: Channel, now: number): void {
    if (now < this.#unknownAt + UNKNOWN_MS) return;
    this.#unknownAt = now;
    const intervals = new Set([...this.held.placements.all()].filter((one) => one.channel === channel).map((one) => one.interval));
    for (const interval of intervals) {
      for (const symbol of this.held.statuses.symbols()) this.held.open(channel, interval, symbol);
      for (const stream of this.held.streams.all(channel, interval)) if (!stream.missing) this.held.again.check(stream, now);
    }
    this.listener.wake();
  }

  #gap(stream: Stream, now: number): void {
    if (stream.missing) return;
    // While an answer is on its way, what comes before it is of what was subscribed to before.
    if (!stream.rule.held && this.held.winner(stream)?.phase !== "granted") return;
    this.held.again.gap(stream, now);
    this.held.refresh(stream);
    this.listener.wake();
  }

  // ------------------------------------------------------------ answers

  /** Takes in an answer to a request. */
  answer(answer: Answer, now: number): void {
    if (this.calls.answered(answer, now)) return;
    if (answer.success === false) {
      if (!this.#refusedLate(answer, now)) this.listener.fault(answer.error ?? "refused", answer.code);
    } else if (answer.method === "subscribe") {
      // Nobody asked: a right has been lost.
      this.#failed(answer.result as GrantedResult, now);
    }
  }

  /** A name that waited for its venue's list turns out to be none: the error quotes it. */
  #refusedLate({ code, error = "" }: Answer, now: number): boolean {
    const named = /^params\.symbol: "([^"]*)": (.*)$/s.exec(error);
    if (code === undefined || named === null) return false;
    const [, name, why] = named as unknown as [string, string, string];
    const waiting = [...this.held.placements.all()].filter(({ pattern, phase }) => pattern === name && phase === "granted");
    for (const { channel, interval } of waiting) this.held.fail(channel, interval, name, { code, error: why }, now);
    return waiting.length > 0;
  }

  subscribed(placements: readonly Placement[], answer: Answer | undefined, now: number): void {
    if (answer === undefined) {
      for (const placement of placements) placement.phase = "due";
    } else if (answer.success === true) {
      this.#refusals = 0;
      this.granted(placements, answer.result as GrantedResult, now);
    } else {
      this.refused(placements, { code: answer.code ?? 4500, error: answer.error ?? "refused" }, now);
    }
    this.listener.wake();
  }

  askedAgain(answer: Answer | undefined, now: number): void {
    if (answer?.success === true) this.#failed(answer.result as GrantedResult, now);
  }

  asking(_stream: Stream): void {
    this.counters.resyncs += 1;
  }

  /** Tells the holders of placements what they were granted, and which of them have failed. */
  granted(placements: readonly Placement[], result: GrantedResult, now: number): void {
    const failed = new Set((result.failed ?? []).map((entry) => entry.symbol));
    const holders = new Map<Holder, string[]>();
    for (const placement of placements) {
      placement.phase = failed.has(placement.pattern) ? "failed" : "granted";
      placement.at = now;
      if (placement.phase === "failed") continue;
      for (const holder of placement.holders) {
        const patterns = holders.get(holder);
        if (patterns === undefined) holders.set(holder, [placement.pattern]);
        else patterns.push(placement.pattern);
      }
    }
    for (const [holder, patterns] of holders) holder.grant(result, patterns);
    this.#failed(result, now);
    for (const symbol of result.symbol) this.held.open(result.channel, result.interval, symbol);
    const granted = new Set(placements);
    for (const stream of this.held.streams.all(result.channel, result.interval)) {
      const winner = this.held.winner(stream);
      if (winner === undefined || !granted.has(winner)) continue;
      if (!stream.confirmed) this.held.again.expect(stream, now);
      const fields = stream.channel === "ticker" ? result.fields : undefined;
      if (fields !== undefined && fields.length < TICKER_FIELDS.size) (stream as unknown as TickerStream).limit(fields);
    }
  }

  #failed(result: GrantedResult, now: number): void {
    for (const { symbol, code, error } of result.failed ?? []) {
      this.held.fail(result.channel, result.interval, symbol, { code, error }, now);
    }
  }

  /** A whole request for placements was refused. */
  refused(placements: readonly Placement[], failure: Failure, now: number): void {
    if (failure.code < 4500) {
      for (const { channel, interval, pattern } of placements) this.held.fail(channel, interval, pattern, failure, now);
      return;
    }
    for (const placement of placements) placement.phase = "due";
    this.outbox.holdUntil = now + Math.min(REFUSED_MS_MAX, REFUSED_MS * 2 ** this.#refusals);
    this.#refusals += 1;
    this.listener.fault(failure.error, failure.code);
  }
}
