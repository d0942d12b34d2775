// `connect`: the object that an application holds, put together from its parts.

import { Address } from "./address.js";
import { now } from "./clock.js";
import { newConnection } from "./connection.js";
import { Events } from "./events.js";
import { TickcastError } from "./fault.js";
import { Frames } from "./frames.js";
import { Link } from "./link.js";
import { checkConnectOptions } from "./options.js";
import { checkSome, readPatterns } from "./pattern.js";
import { Rest } from "./rest.js";
import { Session } from "./session.js";
import { type Home, LiveSubscription } from "./subscription.js";
import { Tokens } from "./tokens.js";
import type {
  Channel, ChannelOptions, ChannelState, ConnectEvents, ConnectOptions, Depth, Failure, Instrument, Interval, Stats,
  Subscription, Tickcast, TradingState,
} from "./types.js";
import type { StatsResult } from "./wire.js";

type OnUpdate<C extends Channel> = (state: ChannelState[C]) => void;

class Connected implements Tickcast, Home {
  readonly connection = newConnection();
  readonly frames = new Frames();
  readonly session: Session;
  ending: TickcastError | undefined;
  readonly #events = new Events<ConnectEvents>();
  readonly #subscriptions = new Set<{ end(error: Error | undefined): void; close?(): void }>();
  readonly #link: Link;
  readonly #rest: Rest;
  readonly #abort = new AbortController();
  #lastId = 0;
  #isClosed = false;

  constructor(url: string, options: ConnectOptions) {
    const address = new Address(url);
    checkConnectOptions(options);
    const tokens = new Tokens(options.token);
    this.#rest = new Rest(address, tokens, this.#abort.signal);
    this.session = new Session(options.verifyChecksums ?? false, this.connection, {
      status: (change) => this.#events.emit("status", change),
      fault: (text, code) => this.#fault(new TickcastError(text, code)),
      wake: () => this.#link.wake(),
    });
    this.#link = new Link(address, options, tokens, this.session, this.connection, {
      changed: () => this.#events.emit("connection", this.connection),
      message: undefined,
      fault: (error) => this.#fault(error),
      closed: (error) => this.#closed(error),
    });
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
    if (options.signal?.aborted === true) this.close();
    else this.#link.start();
  }

  // ------------------------------------------------------------ subscriptions

  #subscribe<C extends Channel>(
    channel: C, symbols: string | readonly string[], options: ChannelOptions[C] | OnUpdate<C> | undefined,
    onUpdate: OnUpdate<C> | undefined,
  ): Subscription<C> {
    if (this.#isClosed) throw new TickcastError(`${channel}: the connection is closed`);
    const update = typeof options === "function" ? (options as OnUpdate<C>) : onUpdate;
    if (update !== undefined && typeof update !== "function") {
      throw new TypeError(`onUpdate: ${String(update)} is not a function`);
    }
    const chosen = typeof options === "function" || options === undefined ? ({} as ChannelOptions[C]) : options;
    checkSome(symbols);
    this.#lastId += 1;
    const subscription = new LiveSubscription(this, this.#lastId, channel, symbols, chosen, update);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  readonly ticker: Tickcast["ticker"] = (
    symbols: string | readonly string[], options?: ChannelOptions["ticker"] | OnUpdate<"ticker">, onUpdate?: OnUpdate<"ticker">,
  ) => this.#subscribe("ticker", symbols, options, onUpdate);

  readonly trades: Tickcast["trades"] = (
    symbols: string | readonly string[], options?: ChannelOptions["trades"] | OnUpdate<"trades">, onUpdate?: OnUpdate<"trades">,
  ) => this.#subscribe("trades", symbols, options, onUpdate);

  readonly book: Tickcast["book"] = (
    symbols: string | readonly string[], options?: ChannelOptions["book"] | OnUpdate<"book">, onUpdate?: OnUpdate<"book">,
  ) => this.#subscribe("book", symbols, options, onUpdate);

  readonly bars: Tickcast["bars"] = (
    symbols: string | readonly string[], options?: ChannelOptions["bars"] | OnUpdate<"bars">, onUpdate?: OnUpdate<"bars">,
  ) => this.#subscribe("bars", symbols, options, onUpdate);

  left(subscription: { end(error: Error | undefined): void }): void {
    this.#subscriptions.delete(subscription);
  }

  unheard(channel: Channel, symbol: string, { code, error }: Failure): void {
    this.#fault(new TickcastError(`${channel} of "${symbol}": ${error}`, code));
  }

  // ------------------------------------------------------------ events

  on<E extends keyof ConnectEvents>(event: E, listener: ConnectEvents[E]): () => void {
    const end = this.#events.on(event, listener);
    const settle = (): void => {
      const isHeard = this.#events.has("message");
      this.#link.listener.message = isHeard
        ? (message, size) => this.#events.emit("message", message, size)
        : undefined;
    };
    settle();
    return () => {
      end();
      settle();
    };
  }

  #fault(error: Error): void {
    if (this.#events.has("error")) this.#events.emit("error", error);
    else console.warn(`tickcast: ${error.message}`);
  }

  #closed(error: TickcastError): void {
    this.ending = error;
    for (const subscription of this.#subscriptions) subscription.end(error);
    this.#fault(error);
  }

  // ------------------------------------------------------------ questions

  status(symbol: string): TradingState | undefined {
    return this.session.status(symbol);
  }

  async stats(): Promise<Stats> {
    const { result } = await this.#link.stats();
    const told = result as StatsResult;
    return {
      subscriptions: told.subscriptions, instruments: told.instruments, sentMessages: told.sent_messages,
      sentBytes: told.sent_bytes, mergedUpdates: told.merged_updates, lagging: told.lagging,
      owedTopics: told.owed_topics, rttUs: told.rtt_us, connectedUs: told.connected_us,
    };
  }

  instruments(glob?: string): Promise<Instrument[]> {
    return this.#rest.instruments(glob);
  }

  async snapshot(
    channel: Channel, symbols: string | readonly string[],
    options: { readonly depth?: Depth | undefined; readonly interval?: Interval | undefined } = {},
  ): Promise<Record<string, unknown>[]> {
    return this.#rest.snapshot(channel, readPatterns(symbols), options);
  }

  // ------------------------------------------------------------ the connection

  reconnect(): void {
    if (this.#isClosed) throw new TickcastError("reconnect: the connection is closed");
    this.ending = undefined;
    this.#link.start();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // First, so that they are not told that all is stale now.
    for (const subscription of [...this.#subscriptions]) subscription.close?.();
    this.#link.close("closed by the application");
    this.#abort.abort();
    this.#events.clear();
  }
}

/**
 * Connects to a service and keeps connected until `close()`.
 *
 * `url` begins with ws, wss, http or https; an empty one is the page's own origin.
 *
 * @throws TypeError that names what is wrong with the address or an option.
 */
export const connect = (url: string, options: ConnectOptions = {}): Tickcast => new Connected(url, options);

export { now };
