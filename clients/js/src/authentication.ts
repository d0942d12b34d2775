// Tokens on a WebSocket: shown in band, and renewed before they expire.

import type { Calls } from "./calls.js";
import { now } from "./clock.js";
import { TickcastError, textOf } from "./fault.js";
import type { Loss } from "./line.js";
import { renewalIn, type Tokens } from "./tokens.js";
import type { Answer, AuthResult, Request } from "./wire.js";

/** The shortest time between two tries to renew a token, ms. */
const RETRY_MS_MIN = 1_000;

export interface AuthenticationListener {
  send(request: Request): void;
  /** What was said to the first token of a connection; with `result` it was accepted. */
  verdict(loss: Loss | undefined, result: AuthResult | undefined): void;
  /** Another token was accepted on the same connection. */
  renewed(): void;
  /** A token could not be renewed; it is tried again. */
  fault(error: Error): void;
  /** The service's clock less ours, ms. */
  clockOffsetMs(): number;
}

export class Authentication {
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Distinguishes the present connection from those before it. */
  #connection = 0;
  #expires: number | undefined;

  constructor(readonly tokens: Tokens, readonly calls: Calls, readonly listener: AuthenticationListener) {}

  /** Shows a connection's first token. */
  begin(token: string): void {
    this.#show(token, (answer) => {
      // Where there was no answer the connection is given up by others.
      if (answer === undefined) return;
      if (answer.success !== true) {
        this.listener.verdict({ code: answer.code, text: answer.error ?? "refused" }, undefined);
        return;
      }
      this.#accepted(answer);
      this.listener.verdict(undefined, answer.result as AuthResult);
    });
  }

  /** The connection is gone. */
  end(): void {
    this.#connection += 1;
    this.#expires = undefined;
    clearTimeout(this.#timer);
  }

  #show(token: string, done: (answer: Answer | undefined) => void): void {
    const own = this.#connection;
    const reqId = this.calls.begin(now(), (answer) => own === this.#connection && done(answer));
    this.listener.send({ method: "auth", req_id: reqId, params: { token } });
  }

  #accepted(answer: Answer): void {
    const { expires } = answer.result as AuthResult;
    const isLonger = this.#expires === undefined || expires > this.#expires;
    this.#expires = expires;
    if (!this.tokens.canRenew || typeof expires !== "number") return;
    // A callback that gives the same token again is asked again, but not all the time.
    if (isLonger) this.#renewIn(renewalIn(this.#leftMs));
    else this.#retry();
  }

  get #leftMs(): number {
    return (this.#expires ?? 0) * 1000 - now() - this.listener.clockOffsetMs();
  }

  #renewIn(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renew(), waitMs);
  }

  /** Tries again when half of what is left has passed; at the end the service closes the connection. */
  #retry(): void {
    if (this.#leftMs > RETRY_MS_MIN) this.#renewIn(Math.max(RETRY_MS_MIN, renewalIn(this.#leftMs / 2)));
  }

  async #renew(): Promise<void> {
    const own = this.#connection;
    let token: string | undefined;
    try {
      token = await this.tokens.renew();
    } catch (error) {
      if (own !== this.#connection) return;
      this.listener.fault(error instanceof Error ? error : new TickcastError(textOf(error)));
      this.#retry();
    }
    if (own !== this.#connection || token === undefined) return;
    this.#show(token, (answer) => {
      if (answer?.success === true) {
        this.#accepted(answer);
        this.listener.renewed();
        return;
      }
      this.listener.fault(new TickcastError(`token: ${answer?.error ?? "no answer"}`, answer?.code));
      this.#retry();
    });
  }
}
