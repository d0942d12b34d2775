// In the worker: the token that the connection shows, and asking the person for another one.

export class TokenDesk {
  readonly #ask: (why: string) => void;
  #token: string | null = null;
  #waiting: ((token: string) => void)[] = [];

  /** `ask` opens the form; `give` brings its answer. */
  constructor(ask: (why: string) => void) { this.#ask = ask; }

  /** The token, or the promise of one. */
  token(): string | Promise<string> {
    if (this.#token !== null) return this.#token;
    this.#ask("");
    return new Promise((given) => this.#waiting.push(given));
  }

  give(token: string | null): void {
    this.#token = token;
    if (token === null) return;
    for (const given of this.#waiting.splice(0)) given(token);
  }

  /** The service does not accept it, or not any longer: the next one has to come from a person. */
  refused(why: string): void {
    this.#token = null;
    this.#ask(why);
  }
}
