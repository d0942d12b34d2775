// Listeners by event. A listener that throws harms nobody else: what it threw becomes an uncaught error.

// The listeners of one event differ in their arguments only, which `emit` takes from the map of events.
type Listener = (...values: never[]) => void;

export const uncaught = (error: unknown): void => queueMicrotask(() => {
  throw error;
});

/** Calls a function of the application's. */
export function guard<A extends unknown[]>(call: (...values: A) => void, ...values: A): void {
  try {
    call(...values);
  } catch (error) {
    uncaught(error);
  }
}

export class Events<M extends { [K in keyof M]: Listener }> {
  readonly #listeners = new Map<keyof M, Set<Listener>>();

  on<E extends keyof M>(event: E, listener: M[E]): () => void {
    if (typeof listener !== "function") throw new TypeError(`on("${String(event)}"): the listener is not a function`);
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()));
    // A function of its own, so that one listener may be registered twice.
    const own: Listener = (...values) => listener(...values);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  has(event: keyof M): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  emit<E extends keyof M>(event: E, ...values: Parameters<M[E]>): void {
    const listeners = this.#listeners.get(event);
    if (listeners === undefined) return;
    for (const listener of listeners) guard(listener as (...values: Parameters<M[E]>) => void, ...values);
  }

  clear(): void {
    this.#listeners.clear();
  }
}
