// What goes out: subscriptions that have to be begun, ended, repeated, gathered into few requests
// and no faster than the service takes them.

import type { Calls } from "./calls.js";
import type { Holdings } from "./holdings.js";
import type { Placement } from "./placements.js";
import { type Batch, type Claim, gather } from "./requests.js";
import type { Stream } from "./stream.js";
import type { TickerStream } from "./ticker.js";
import type { Channel, Interval } from "./types.js";
import { type Answer, type BookItem, NOTHING, type Request, type Since } from "./wire.js";

/** Requests that the service takes: fewer than its ten a second and fifty at once. */
const REQUESTS_PER_SECOND = 8;
const REQUESTS_BURST = 30;
/** How many names one `unsubscribe` lists. */
const ENDED_MAX = 400;
/** A granted placement's first data is on its way for so long; ms. */
const SERVED_WITHIN_MS = 500;

/** Whom answers are brought to. */
export interface AnswerListener {
  /** The answer to these placements; undefined: none has come. */
  subscribed(placements: readonly Placement[], answer: Answer | undefined, now: number): void;
  /** The answer to asking again. */
  askedAgain(answer: Answer | undefined, now: number): void;
  /** A stream is asked for again. */
  asking(stream: Stream): void;
}

interface Ended {
  readonly channel: Channel;
  readonly interval: Interval | undefined;
  readonly pattern: string;
}

export class Outbox {
  /** What the service reads at once. */
  requestBytesMax = Infinity;
  /** Nothing is asked before. */
  holdUntil = 0;
  #ended: Ended[] = [];
  #allowance = REQUESTS_BURST;
  #allowanceAt = 0;

  constructor(readonly held: Holdings, readonly calls: Calls, readonly listener: AnswerListener) {}

  /** A new connection begins: on it nothing has been asked for, and nothing has to be ended. */
  reset(now: number, requestBytesMax: number): void {
    this.requestBytesMax = requestBytesMax;
    this.holdUntil = 0;
    this.#ended = [];
    this.#allowance = REQUESTS_BURST;
    this.#allowanceAt = now;
  }

  end(placement: Placement): void {
    const { channel, interval, pattern, phase } = placement;
    const wasAsked = phase !== "due" || placement.reqId > 0;
    if (this.held.isLive && wasAsked) this.#ended.push({ channel, interval, pattern });
  }

  /**
   * The requests that may be sent now. What was ended is ended first: if it was begun again meanwhile
   * it begins anew, with a snapshot.
   */
  take(now: number): Request[] {
    this.calls.expire(now);
    if (!this.held.isLive || now < this.holdUntil) return [];
    const requests: Request[] = [];
    for (const write of [...this.#endings(now), ...this.#beginnings(now), ...this.#askings(now)]) {
      if (!this.#mayAsk(now)) break;
      requests.push(write());
    }
    return requests;
  }

  /** When `take` will have something to give, as far as is known. */
  get nextAt(): number {
    if (!this.held.isLive) return Infinity;
    let next = Math.min(this.held.again.nextAt, this.calls.expiresAt);
    if (this.#ended.length > 0 || this.#due().length > 0) {
      next = Math.min(next, this.#allowanceAt + 1000 / REQUESTS_PER_SECOND);
    }
    return Math.max(next, this.holdUntil);
  }

  #due(): Placement[] {
    return [...this.held.placements.all()].filter(({ phase }) => phase === "due");
  }

  /** Uses one request up, if one is left. */
  #mayAsk(now: number): boolean {
    const earned = ((now - this.#allowanceAt) * REQUESTS_PER_SECOND) / 1000;
    this.#allowance = Math.min(REQUESTS_BURST, this.#allowance + Math.max(0, earned));
    this.#allowanceAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }

  #endings(now: number): (() => Request)[] {
    const groups: Ended[][] = [];
    const open = new Map<string, Ended[]>();
    for (const ended of this.#ended) {
      const key = `${ended.channel}/${ended.interval ?? ""}`;
      let group = open.get(key);
      if (group === undefined || group.length >= ENDED_MAX) {
        group = [];
        groups.push(group);
        open.set(key, group);
      }
      group.push(ended);
    }
    return groups.map((group) => () => {
      const gone = new Set(group);
      this.#ended = this.#ended.filter((ended) => !gone.has(ended));
      const { channel, interval } = group[0] as Ended;
      const symbol = group.map((ended) => ended.pattern);
      const params = interval === undefined ? { channel, symbol } : { channel, symbol, interval };
      return { method: "unsubscribe", req_id: this.calls.begin(now, () => {}), params };
    });
  }

  #beginnings(now: number): (() => Request)[] {
    const due = this.#due();
    if (due.length === 0) return [];
    const claims = this.#claims(due);
    const batches = gather(due, (placement) => claims.get(placement) ?? [], this.requestBytesMax);
    return batches.map((batch) => () => this.#subscribe(batch, now));
  }

  #claims(due: readonly Placement[]): Map<Placement, Claim[]> {
    const claims = new Map<Placement, Claim[]>(due.map((placement) => [placement, []]));
    for (const stream of this.held.streams.all()) {
      const winner = this.held.winner(stream);
      const mine = winner === undefined ? undefined : claims.get(winner);
      const since = winner === undefined ? undefined : this.claim(stream, winner);
      if (since !== undefined) mine?.push({ symbol: stream.symbol, since });
    }
    return claims;
  }

  /** What may be claimed: only what is held at just the depth and with the fields that are asked for. */
  claim(stream: Stream, { wire }: Placement): Since | undefined {
    if (stream.channel === "ticker" && !(stream as unknown as TickerStream).holds(wire.fields)) return undefined;
    if (stream.channel === "book" && !stream.shows({ depth: wire.depth ?? 10 } as BookItem)) return undefined;
    return stream.rule.since;
  }

  #subscribe(batch: Batch, now: number): Request {
    const placements = batch.placements;
    const reqId = this.calls.begin(now, (answer, at) => {
      // Those that were changed or ended meanwhile wait for a later answer, or for none.
      const mine = placements.filter((placement) => placement.reqId === reqId && placement.phase === "asked");
      this.listener.subscribed(mine, answer, at);
    });
    for (const placement of placements) {
      placement.phase = "asked";
      placement.reqId = reqId;
      placement.at = now;
    }
    return { method: "subscribe", req_id: reqId, params: batch.params() };
  }

  /** Each repeats a placement, same pattern and options, with `since` for the streams concerned alone. */
  #askings(now: number): (() => Request)[] {
    const byPlacement = new Map<Placement, Map<string, Stream>>();
    for (const [stream, winner] of this.dueAgain(now)) {
      let streams = byPlacement.get(winner);
      if (streams === undefined) byPlacement.set(winner, (streams = new Map()));
      streams.set(stream.symbol, stream);
    }
    const claimsOf = (placement: Placement): Claim[] => [...byPlacement.get(placement)?.values() ?? []]
      .map((stream) => ({ symbol: stream.symbol, since: this.claim(stream, placement) ?? NOTHING }));
    return gather(byPlacement.keys(), claimsOf, this.requestBytesMax).map((batch) => () => {
      const claimed = new Set(batch.claims.map((claim) => claim.symbol));
      for (const placement of batch.placements) {
        for (const [symbol, stream] of byPlacement.get(placement) ?? []) {
          if (claimed.has(symbol)) this.asked(stream, now);
        }
      }
      const reqId = this.calls.begin(now, (answer, at) => this.listener.askedAgain(answer, at));
      return { method: "subscribe", req_id: reqId, params: batch.params() };
    });
  }

  /** The streams that have to be asked for again now, each with the placement that it is served by. */
  dueAgain(now: number): [Stream, Placement][] {
    const due: [Stream, Placement][] = [];
    for (const stream of this.held.again.at(now)) {
      const winner = this.held.winner(stream);
      if (winner === undefined || winner.phase === "failed") this.held.again.done(stream);
      else if (winner.phase !== "granted") stream.askAt = now + SERVED_WITHIN_MS;
      else if (now - winner.at < SERVED_WITHIN_MS) stream.askAt = winner.at + SERVED_WITHIN_MS;
      else due.push([stream, winner]);
    }
    return due;
  }

  asked(stream: Stream, now: number): void {
    this.held.again.asked(stream, now);
    this.listener.asking(stream);
  }
}
