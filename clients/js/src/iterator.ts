// The async iterator of a subscription: yields what changed, never queues a thing twice.


export class Changes<T> implements AsyncIterableIterator<T> {
  readonly #changed = new Set<T>();
  readonly #waiting: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: Error) => void }[] = [];
  /** Undefined: it goes on; `error` undefined: an orderly end. */
  #ending: { readonly error: Error | undefined } | undefined;

  constructor(readonly closed: (changes: Changes<T>) => void) {}

  add(thing: T): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting.resolve({ done: false, value: thing });
    else this.#changed.add(thing);
  }

  /** No more will come; with an error what waits is told why. */
  end(error: Error | undefined): void {
    if (this.#ending !== undefined) return;
    this.#ending = { error };
    for (const waiting of this.#waiting.splice(0)) {
      if (error === undefined) waiting.resolve({ done: true, value: undefined });
      else waiting.reject(error);
    }
  }

  next(): Promise<IteratorResult<T, undefined>> {
    for (const thing of this.#changed) {
      this.#changed.delete(thing);
      return Promise.resolve({ done: false, value: thing });
    }
    if (this.#ending === undefined) return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    if (this.#ending.error === undefined) return Promise.resolve({ done: true, value: undefined });
    return Promise.reject(this.#ending.error);
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#changed.clear();
    this.end(undefined);
    this.closed(this);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
