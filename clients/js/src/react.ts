// Hooks for React 18 and 19: `import { useTicker } from "tickcast/react"`.
//
// A component gets copies that are never changed again, a new one at most once per animation frame.

import {
  createContext, createElement, type ReactElement, type ReactNode, useContext, useEffect, useMemo, useSyncExternalStore,
} from "react";
import type {
  Bars, BarsOptions, Book, BookOptions, Channel, ChannelOptions, ChannelState, ConnectionInfo, Subscription, Tickcast,
  Ticker, TickerOptions, Trades, TradesOptions, TradingState,
} from "./types.js";

const Context = createContext<Tickcast | undefined>(undefined);

/** Gives a connection to all hooks below it. */
export function TickcastProvider(props: { readonly client: Tickcast; readonly children?: ReactNode }): ReactElement {
  return createElement(Context.Provider, { value: props.client }, props.children);
}

/** The connection of the nearest provider. */
export function useTickcast(): Tickcast {
  const client = useContext(Context);
  if (client === undefined) throw new Error("there is no TickcastProvider above, and the hook was given no client");
  return client;
}

function useClient(given: Tickcast | undefined): Tickcast {
  const provided = useContext(Context);
  const client = given ?? provided;
  if (client === undefined) throw new Error("there is no TickcastProvider above, and the hook was given no client");
  return client;
}

/** A copy that may be compared by identity. */
function copyOf<T extends object>(view: T): T {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(view) as object) as T, view);
  for (const key of Object.keys(copy) as (keyof T)[]) {
    const value = copy[key];
    if (Array.isArray(value)) copy[key] = value.slice() as T[keyof T];
  }
  return Object.freeze(copy);
}

/** What a component reads of one channel: a subscription that lives as long as somebody looks. */
class Store<C extends Channel> {
  #subscription: Subscription<C> | undefined;
  #symbols: readonly string[] = [];
  #options: ChannelOptions[C] = {} as ChannelOptions[C];
  #copies: ReadonlyMap<string, ChannelState[C]> = new Map();
  readonly #lookers = new Set<() => void>();

  constructor(readonly client: Tickcast, readonly channel: C) {}

  /** What is wanted from now on; what stays of it goes on. */
  ask(symbols: readonly string[], options: ChannelOptions[C]): void {
    const gone = Object.fromEntries(Object.keys(this.#options).map((name) => [name, undefined]));
    this.#symbols = symbols;
    this.#options = options;
    const subscription = this.#subscription;
    if (subscription === undefined) {
      if (this.#lookers.size > 0) this.#open();
      return;
    }
    subscription.setSymbols(symbols);
    subscription.change({ ...gone, ...options });
    this.#look();
  }

  readonly look = (looker: () => void): (() => void) => {
    this.#lookers.add(looker);
    this.#open();
    return () => {
      this.#lookers.delete(looker);
      if (this.#lookers.size > 0) return;
      this.#subscription?.close();
      this.#subscription = undefined;
    };
  };

  /** Subscribes, once something is asked for: a component may not know yet what it wants. */
  #open(): void {
    if (this.#subscription !== undefined || this.#symbols.length === 0) return;
    const subscribe = this.client[this.channel] as unknown as
      (symbols: readonly string[], options: ChannelOptions[C]) => Subscription<C>;
    const subscription = subscribe(this.#symbols, this.#options);
    subscription.onFrame(() => this.#look());
    this.#subscription = subscription;
  }

  /** Copies what has changed; what has not stays the same object. */
  #look(): void {
    const copies = new Map<string, ChannelState[C]>();
    for (const view of this.#subscription?.values() ?? []) {
      const known = this.#copies.get(view.symbol);
      const isSame = known?.receivedAt === view.receivedAt && known.state === view.state;
      copies.set(view.symbol, isSame ? known : copyOf(view));
    }
    this.#copies = copies;
    for (const looker of this.#lookers) looker();
  }

  readonly copies = (): ReadonlyMap<string, ChannelState[C]> => this.#copies;

  copy(symbol: string | undefined): ChannelState[C] | undefined {
    if (symbol === undefined) return undefined;
    const found = this.#copies.get(symbol);
    if (found !== undefined || symbol.includes(":")) return found;
    // A bare name: the service knows whose it is.
    for (const copy of this.#copies.values()) if (copy.symbol.endsWith(`:${symbol}`)) return copy;
    return undefined;
  }
}

const EMPTY: ReadonlyMap<string, Ticker> = new Map();

function useStore<C extends Channel>(
  channel: C, symbols: readonly string[], options: ChannelOptions[C] | undefined, given: Tickcast | undefined,
): Store<C> {
  const client = useClient(given);
  const store = useMemo(() => new Store(client, channel), [client, channel]);
  // Lists and options are mostly written where the hook is called, so they are compared by value.
  const key = JSON.stringify([symbols, options]);
  useEffect(() => store.ask(symbols, options ?? ({} as ChannelOptions[C])), [store, key]);
  return store;
}

function useOne<C extends Channel>(
  channel: C, symbol: string | undefined, options: ChannelOptions[C] | undefined, client: Tickcast | undefined,
): ChannelState[C] | undefined {
  const store = useStore(channel, symbol === undefined ? [] : [symbol], options, client);
  return useSyncExternalStore(store.look, () => store.copy(symbol), () => undefined);
}

/** The ticker of an instrument; undefined until the first one has come. */
export const useTicker = (symbol: string | undefined, options?: TickerOptions, client?: Tickcast): Ticker | undefined =>
  useOne("ticker", symbol, options, client);

/** The book of an instrument. */
export const useBook = (symbol: string | undefined, options?: BookOptions, client?: Tickcast): Book | undefined =>
  useOne("book", symbol, options, client);

/** The latest trades of an instrument. */
export const useTrades = (symbol: string | undefined, options?: TradesOptions, client?: Tickcast): Trades | undefined =>
  useOne("trades", symbol, options, client);

/** The bars of an instrument. */
export const useBars = (symbol: string | undefined, options?: BarsOptions, client?: Tickcast): Bars | undefined =>
  useOne("bars", symbol, options, client);

/** The tickers of several instruments, or of all that match a pattern, by symbol. */
export function useTickers(
  symbols: string | readonly string[], options?: TickerOptions, client?: Tickcast,
): ReadonlyMap<string, Ticker> {
  const store = useStore("ticker", typeof symbols === "string" ? [symbols] : symbols, options, client);
  return useSyncExternalStore(store.look, store.copies, () => EMPTY);
}

/** The connection as it was when it last changed; its counters are those of that moment. */
export function useConnection(given?: Tickcast): ConnectionInfo {
  const client = useClient(given);
  const store = useMemo(() => {
    let copy = copyOf(client.connection);
    const renew = (): void => {
      copy = copyOf(client.connection);
    };
    return {
      look: (looker: () => void): (() => void) => {
        const end = client.on("connection", () => {
          renew();
          looker();
        });
        // It may have changed between the first look and this one.
        if (client.connection.state !== copy.state) renew();
        return end;
      },
      read: (): ConnectionInfo => copy,
    };
  }, [client]);
  return useSyncExternalStore(store.look, store.read, store.read);
}

/** An instrument's status, of which something has to be subscribed to. */
export function useStatus(symbol: string, given?: Tickcast): TradingState | undefined {
  const client = useClient(given);
  const look = useMemo(() => (looker: () => void): (() => void) => {
    const ends = [client.on("connection", looker), client.on("status", looker)];
    return () => ends.forEach((end) => end());
  }, [client]);
  return useSyncExternalStore(look, () => client.status(symbol), () => undefined);
}
