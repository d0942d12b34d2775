// In the worker: the token that the connection shows. Where the service wants one that is not
// there, or does not take the one that is (any longer), a person is asked for another.

export const NOT_AUTHENTICATED = 4401;

export class TokenDesk {
  readonly #ask: (why: string) => void;
  #token: string | null;

  /** `ask` opens the form; `give` brings its answer. */
  constructor(ask: (why: string) => void) {
    this.#ask = ask;
    this.#token = null;
  }

  /** What the SDK asks for a token; undefined where there is none, since not every service wants one. */
  get source(): (() => string) | undefined {
    const token = this.#token;
    return token === null ? undefined : () => token;
  }

  give(token: string | null): void { this.#token = token; }

  refused(why: string): void { this.#ask(this.#token === null ? "" : why); }

  /** Why there is no connection, for whoever reads the page: the SDK speaks to programmers. */
  inWords<R extends { readonly code?: number | undefined; readonly text: string }>(reason: R | undefined): R | undefined {
    const isMissing = reason?.code === NOT_AUTHENTICATED && this.#token === null;
    return isMissing ? { ...reason, text: "this service shows prices only to those who have a token" } : reason;
  }
}
