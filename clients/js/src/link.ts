// The link to the service: tries, loses, waits, comes back. Owns the line, the timers and the tokens;
// what is held and what has to be asked is the session's.

import type { Address } from "./address.js";
import { Authentication } from "./authentication.js";
import { Backoff } from "./backoff.js";
import { Blocked } from "./blocked.js";
import { ClockOffset, now } from "./clock.js";
import { type Connection, enter } from "./connection.js";
import { isFinal, NOT_AUTHENTICATED, TickcastError, textOf } from "./fault.js";
import type { Line, LineListener, Loss } from "./line.js";
import type { Session } from "./session.js";
import { probe, SseLine } from "./sse.js";
import type { Tokens } from "./tokens.js";
import type { Codec, ConnectOptions } from "./types.js";
import { findWebSocket, WebSocketLine } from "./websocket.js";
import type { Answer, AuthResult, DataMessage, Goaway, Welcome } from "./wire.js";

/** How long it may take until a line can be asked, ms. */
const READY_WITHIN_MS = 10_000;
/** A line that lived for so long has shown that the service is well, ms. */
const WELL_AFTER_MS = 10_000;
/** A token that was good for so long has expired, rather than been refused, ms. */
const EXPIRED_AFTER_MS = 500;
/** A line is dead after so many silent heartbeats. */
const SILENT_HEARTBEATS = 3;
const HEARTBEAT_MS = 5_000;
/** How long a service that goes away may be late in closing, ms. */
const GOAWAY_GRACE_MS = 250;
/** The shortest time between two looks at what is to be sent, ms. */
const FLUSH_MS = 20;
const REQUEST_BYTES_MAX = 64 * 1024;
const BAD_REQUEST = 4400;
/** What a WebSocket says that was cut off. */
const ABNORMAL = 1006;

export interface LinkListener {
  /** Something other than a counter has changed. */
  changed(): void;
  message: ((message: unknown, size: number) => void) | undefined;
  fault(error: Error): void;
  /** It will not come back by itself. */
  closed(error: TickcastError): void;
}

type Timer = ReturnType<typeof setTimeout> | undefined;

export class Link {
  readonly #backoff: Backoff;
  readonly #codec: Codec | undefined;
  readonly #authentication: Authentication;
  readonly #blocked = new Blocked();
  readonly #clock = new ClockOffset();
  #line: Line | undefined;
  /** Distinguishes the present try from those before it. */
  #try = 0;
  #wasLive = false;
  /** Undefined before the welcome has come. */
  #welcomed: Welcome | undefined;
  /** A token was accepted, or there is none. */
  #isAuthenticated = false;
  /** The callback is asked for a new token at the next try; it was asked after a refusal. */
  #needsToken = true;
  #hasRenewed = false;
  #flushes = false;
  #retryTimer: Timer;
  #readyTimer: Timer;
  #flushTimer: Timer;
  #goawayTimer: Timer;
  #watchTimer: Timer;

  constructor(
    readonly address: Address, readonly options: ConnectOptions, readonly tokens: Tokens,
    readonly session: Session, readonly connection: Connection, readonly listener: LinkListener,
  ) {
    this.#backoff = new Backoff(options.backoffMs);
    this.#codec = options.encoding === "json" ? undefined : options.encoding;
    this.#authentication = new Authentication(tokens, session.calls, {
      send: (request) => this.#line?.send(request),
      verdict: (loss, result) => this.#judged(loss, result),
      renewed: () => this.session.rightsChanged(),
      fault: (error) => this.listener.fault(error),
      clockOffsetMs: () => (this.#clock.best?.offsetUs ?? 0) / 1000,
    });
  }

  // ------------------------------------------------------------ trying

  /** Tries at once, whatever was waited for; the line that there is is dropped. */
  start(): void {
    this.#needsToken = true;
    this.#drop();
    void this.#attempt();
  }

  async #attempt(): Promise<void> {
    const own = ++this.#try;
    const { connection } = this;
    connection.attempt += 1;
    connection.nextAttemptAt = undefined;
    connection.goaway = undefined;
    if (connection.state === "closed") enter(connection, "reconnecting");
    this.listener.changed();
    let token: string | undefined;
    let line: Line | undefined;
    try {
      token = await (this.#needsToken ? this.tokens.renew() : this.tokens.latest());
      if (own !== this.#try) return;
      this.#readyTimer = setTimeout(() => this.#lost({ text: `no answer within ${READY_WITHIN_MS} ms` }), READY_WITHIN_MS);
      line = await this.#connect(own, token);
    } catch (error) {
      if (own === this.#try) this.#lost({ text: textOf(error) });
      return;
    }
    if (own !== this.#try) line?.close();
  }

  /** Opens a line; undefined when it has given up, or was given up, before. */
  async #connect(own: number, token: string | undefined): Promise<Line | undefined> {
    const transport = this.options.transport ?? "auto";
    const wantsSse = transport === "sse" || (transport === "auto" && this.#blocked.isBlocked);
    const Constructor = wantsSse ? undefined : await findWebSocket(this.options.WebSocket);
    if (own !== this.#try) return undefined;
    const listener: LineListener = {
      opened: (encoding) => own === this.#try && this.#opened(encoding, token),
      message: (message, size) => own === this.#try && this.#message(message, size),
      lost: (loss) => own === this.#try && this.#lost(loss),
    };
    if (Constructor === undefined && transport === "websocket") {
      this.#finish({ text: "there is no WebSocket: give options.WebSocket, or install the package ws" });
      return undefined;
    }
    const line = Constructor === undefined
      ? new SseLine(this.address, token, this.session, listener, now)
      : new WebSocketLine(Constructor, this.address.webSocket, this.#codec, listener);
    this.connection.transport = line.transport;
    this.#line = line;
    return line;
  }

  #opened(encoding: string, token: string | undefined): void {
    this.connection.encoding = encoding;
    this.#needsToken = false;
    if (this.#line?.transport === "sse") {
      this.#ready(undefined);
      return;
    }
    // Shown at once, since what it allows may be more than what is allowed without one.
    this.#isAuthenticated = token === undefined;
    if (token !== undefined) this.#authentication.begin(token);
    this.#ping();
  }

  /** What the service says to the token. */
  #judged(loss: Loss | undefined, result: AuthResult | undefined): void {
    if (loss !== undefined) {
      if (loss.code !== BAD_REQUEST || this.#welcomed?.auth_required !== false) {
        this.#lost(loss);
        return;
      }
      // It takes no tokens, and needs none.
      this.listener.fault(new TickcastError(`token: ${loss.text}`, loss.code));
    }
    this.#isAuthenticated = true;
    if (this.#welcomed !== undefined) this.#ready((result ?? this.#welcomed).limits?.message_bytes);
  }

  /** It can be asked: everything that is subscribed to is. */
  #ready(requestBytesMax: number | undefined): void {
    const { connection } = this;
    clearTimeout(this.#readyTimer);
    if (this.#wasLive) connection.reconnects += 1;
    this.#wasLive = true;
    this.#hasRenewed = false;
    connection.reason = undefined;
    connection.attempt = 0;
    enter(connection, "live");
    connection.lastMessageAt ??= now();
    this.session.connected(now(), requestBytesMax ?? REQUEST_BYTES_MAX);
    this.#watch();
    this.listener.changed();
  }

  // ------------------------------------------------------------ losing

  #drop(): void {
    this.#try += 1;
    for (const timer of [this.#retryTimer, this.#readyTimer, this.#flushTimer, this.#goawayTimer]) {
      clearTimeout(timer);
    }
    clearInterval(this.#watchTimer);
    this.#line?.close();
    this.#line = undefined;
    this.#welcomed = undefined;
    this.#authentication.end();
    this.#clock.reset();
    this.session.disconnected(now());
    if (this.connection.state === "live") enter(this.connection, "reconnecting");
  }

  #lost(loss: Loss): void {
    const { connection } = this;
    const line = this.#line;
    const isUnopened = line?.transport === "websocket" && this.#welcomed === undefined
      && (!line.wasOpen || loss.code === undefined || loss.code === ABNORMAL);
    const livedMs = connection.state === "live" ? now() - connection.since : undefined;
    this.#drop();
    connection.reason = { code: loss.code, text: loss.text };
    const closesIn = connection.goaway === undefined ? undefined : Math.max(0, connection.goaway.closesAt - now());
    if (loss.code === NOT_AUTHENTICATED && this.tokens.canRenew && !this.#hasRenewed) {
      this.#hasRenewed = this.#needsToken = true;
      const isAtOnce = livedMs === undefined || livedMs >= EXPIRED_AFTER_MS;
      this.#wait(closesIn ?? (isAtOnce ? 0 : this.#backoff.next()));
      return;
    }
    if (isFinal(loss.code)) {
      this.#finish(loss);
      return;
    }
    if (livedMs !== undefined && livedMs >= WELL_AFTER_MS) this.#backoff.reset();
    const waitMs = closesIn ?? this.#backoff.next() + (loss.retryAfterMs ?? 0);
    if (line?.transport === "sse") this.#blocked.streamsLost();
    const isAuto = (this.options.transport ?? "auto") === "auto";
    if (isAuto && isUnopened) void this.#unopened(waitMs);
    else this.#wait(waitMs);
  }

  /** A WebSocket did not open, or nothing came through it. */
  async #unopened(waitMs: number): Promise<void> {
    const own = this.#try;
    enter(this.connection, "reconnecting");
    const isAtOnce = await this.#blocked.unopened(async () => {
      try {
        const { ok, status } = await probe(this.address, await this.tokens.latest());
        return ok || status === 401;
      } catch {
        return false; // HTTP does not work either.
      }
    });
    if (own === this.#try) this.#wait(isAtOnce ? 0 : waitMs);
  }

  #wait(waitMs: number): void {
    const { connection } = this;
    enter(connection, "reconnecting");
    connection.nextAttemptAt = now() + waitMs;
    this.#retryTimer = setTimeout(() => void this.#attempt(), waitMs);
    this.listener.changed();
  }

  /** It does not come back by itself: 44xx. */
  #finish(loss: Loss): void {
    this.#drop();
    this.connection.reason = { code: loss.code, text: loss.text };
    this.connection.nextAttemptAt = undefined;
    this.#needsToken = true;
    this.#hasRenewed = false;
    enter(this.connection, "closed");
    this.listener.changed();
    this.listener.closed(new TickcastError(loss.text, loss.code));
  }

  close(text: string): void {
    this.#drop();
    this.connection.reason = { text };
    this.connection.nextAttemptAt = undefined;
    enter(this.connection, "closed");
    this.listener.changed();
  }

  // ------------------------------------------------------------ what comes in

  #message(message: unknown, size: number): void {
    const { connection, session } = this;
    const at = now();
    connection.messages += 1;
    connection.bytes += size;
    connection.lastMessageAt = at;
    this.listener.message?.(message, size);
    if (typeof message !== "object" || message === null) return;
    const { channel } = message as { channel?: unknown };
    switch (channel) {
      case "status": case "ticker": case "trades": case "book": case "bars":
        session.data(message as DataMessage, at);
        break;
      case "system":
        this.#system(message as { type?: unknown; data?: unknown[] });
        break;
      case undefined:
        session.answer(message as Answer, at);
        break;
      default: // A heartbeat, or something newer than this.
    }
  }

  #system({ type, data }: { type?: unknown; data?: unknown[] }): void {
    for (const item of data ?? []) {
      if (type === "welcome") this.#welcome(item as Welcome);
      else if (type === "goaway") this.#goaway(item as Goaway);
    }
  }

  #welcome(welcome: Welcome): void {
    const { connection } = this;
    connection.session = welcome.session;
    connection.version = welcome.version;
    connection.heartbeatMs = welcome.heartbeat_ms;
    if (this.#line?.transport === "sse") {
      this.#watch();
      this.listener.changed();
      return;
    }
    this.#welcomed = welcome;
    // What blocks WebSockets may let them open, and nothing through.
    this.#blocked.opened();
    if (welcome.auth_required && this.tokens.source === undefined) {
      this.#lost({ code: NOT_AUTHENTICATED, text: "the service asks for a token: give options.token" });
    } else if (this.#isAuthenticated) {
      this.#ready(welcome.limits?.message_bytes);
    }
  }

  #goaway(goaway: Goaway): void {
    const { connection } = this;
    const closesAt = now() + goaway.reconnect_after_ms;
    if (connection.goaway !== undefined && connection.goaway.closesAt >= closesAt) return;
    connection.goaway = { closesAt, reason: goaway.reason };
    clearTimeout(this.#goawayTimer);
    this.#goawayTimer = setTimeout(() => {
      this.#lost({ code: 1001, text: `the service went away: ${goaway.reason}` });
    }, goaway.reconnect_after_ms + GOAWAY_GRACE_MS);
    this.listener.changed();
  }

  /** A line that is silent is dead: whatever it still says would come too late. */
  #watch(): void {
    clearInterval(this.#watchTimer);
    const periodMs = this.connection.heartbeatMs ?? HEARTBEAT_MS;
    let dueAt = now() + periodMs;
    this.#watchTimer = setInterval(() => {
      // If this comes late what has come in meanwhile may not have been read yet.
      const isLate = now() - dueAt > periodMs;
      dueAt = now() + periodMs;
      const heardAt = this.#line?.heardAt ?? this.connection.lastMessageAt ?? 0;
      const silentMs = now() - heardAt;
      if (isLate) return;
      if (silentMs > SILENT_HEARTBEATS * periodMs) this.#lost({ text: `nothing heard for ${Math.round(silentMs)} ms` });
      else this.#ping();
    }, periodMs);
  }

  // ------------------------------------------------------------ what goes out

  /** There may be something to send. Waits for the rest of what is done now, to send it in one request. */
  wake(): void {
    if (this.#flushes) return;
    this.#flushes = true;
    queueMicrotask(() => {
      this.#flushes = false;
      this.#flush();
    });
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    const line = this.#line;
    if (line === undefined || this.connection.state !== "live") return;
    if (line.transport === "sse") line.sync(now());
    else for (const request of this.session.take(now())) line.send(request);
    const waitMs = this.session.outbox.nextAt - now();
    if (waitMs < Infinity) this.#flushTimer = setTimeout(() => this.#flush(), Math.max(FLUSH_MS, waitMs));
  }

  #ping(): void {
    if (this.#line?.transport !== "websocket") return;
    const sentAt = now();
    const reqId = this.session.calls.begin(sentAt, (answer, at) => {
      if (answer?.ts_publish === undefined) return;
      this.#clock.add(sentAt, at, answer.ts_publish);
      this.connection.clockOffsetUs = this.#clock.best?.offsetUs;
      this.connection.rttUs = this.#clock.best?.rttUs;
    });
    this.#line.send({ method: "ping", req_id: reqId });
  }

  stats(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const line = this.#line;
      if (line?.transport !== "websocket" || this.connection.state !== "live") {
        reject(new TickcastError(`stats: there is no WebSocket that is live (${this.connection.state})`));
        return;
      }
      const reqId = this.session.calls.begin(now(), (answer) => {
        if (answer?.success === true) resolve(answer);
        else reject(new TickcastError(`stats: ${answer?.error ?? "no answer"}`, answer?.code));
      });
      line.send({ method: "stats", req_id: reqId });
      this.wake();
    });
  }
}
