// Questions over HTTP: the list of instruments, and snapshots.

import type { Address } from "./address.js";
import { readRefusal } from "./event-stream.js";
import { TickcastError, textOf } from "./fault.js";
import type { Tokens } from "./tokens.js";
import type { Channel, Instrument, TradingState } from "./types.js";

const UNAUTHORIZED = 401;

interface WireInstrument {
  readonly symbol: string;
  readonly venue: string;
  readonly venue_symbol: string;
  readonly tick_size: string | null;
  readonly lot_size: string | null;
  readonly state: TradingState;
}

export class Rest {
  constructor(readonly address: Address, readonly tokens: Tokens, readonly signal: AbortSignal) {}

  async #get(path: string): Promise<unknown> {
    const ask = async (token: string | undefined): Promise<Response> => {
      try {
        const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
        return await fetch(`${this.address.http}${path}`, { headers, signal: this.signal, cache: "no-store" });
      } catch (error) {
        throw new TickcastError(`${path}: ${textOf(error)}`, undefined, error);
      }
    };
    let response = await ask(await this.tokens.latest());
    // The one that was used last may have expired meanwhile.
    if (response.status === UNAUTHORIZED && this.tokens.canRenew) response = await ask(await this.tokens.renew());
    if (response.ok) return response.json();
    const { code, text } = await readRefusal(response);
    throw new TickcastError(text, code);
  }

  async instruments(glob: string | undefined): Promise<Instrument[]> {
    const query = glob === undefined ? "" : `?symbol=${encodeURIComponent(glob)}`;
    const { instruments } = (await this.#get(`/v1/instruments${query}`)) as { instruments: WireInstrument[] };
    return instruments.map((one) => ({
      symbol: one.symbol, venue: one.venue, venueSymbol: one.venue_symbol, tickSize: one.tick_size,
      lotSize: one.lot_size, state: one.state,
    }));
  }

  async snapshot(
    channel: Channel, symbols: readonly string[],
    options: { readonly depth?: number | undefined; readonly interval?: string | undefined },
  ): Promise<Record<string, unknown>[]> {
    const query = [`channel=${encodeURIComponent(channel)}`, `symbol=${symbols.map(encodeURIComponent).join(",")}`];
    for (const name of ["depth", "interval"] as const) {
      if (options[name] !== undefined) query.push(`${name}=${encodeURIComponent(options[name])}`);
    }
    const { data } = (await this.#get(`/v1/snapshot?${query.join("&")}`)) as { data: Record<string, unknown>[] };
    return data;
  }
}
