// The trades of an instrument: the latest ones, and how many were missed.

import { emptyState, Stream, type Writable } from "./stream.js";
import type { StreamState, Trade, Trades } from "./types.js";
import type { TradesItem, WireTrade } from "./wire.js";

export const TRADES_KEPT = 500;

const toTrade = (trade: WireTrade): Trade => ({
  seq: trade.seq, id: trade.id, price: trade.price, size: trade.size, side: trade.side, tsEvent: trade.ts_event,
});

class TradesView implements Trades {
  declare readonly symbol: string;
  declare epoch: number;
  declare seq: number;
  declare state: StreamState["state"];
  declare stale: boolean;
  declare tsPublish: number;
  declare receivedAt: number;
  trades: Trade[] = [];
  fresh: Trade[] = [];
  missed = 0;

  constructor(symbol: string) {
    Object.assign(this, emptyState(symbol));
  }

  after(seq: number): readonly Trade[] {
    let at = this.trades.length;
    while (at > 0 && (this.trades[at - 1]?.seq ?? 0) > seq) at--;
    return this.trades.slice(at);
  }
}

export class TradesStream extends Stream<"trades"> {
  readonly channel = "trades";
  readonly view: Writable<TradesView>;
  /** The most that one of its subscriptions wants kept. */
  keep = TRADES_KEPT;

  constructor(symbol: string) {
    super(symbol);
    this.view = new TradesView(symbol);
  }

  override quiet(): void {
    this.view.fresh = [];
  }

  override apply(item: TradesItem, isSnapshot: boolean, mine: number | undefined): boolean {
    const view = this.view;
    const isNew = (trade: WireTrade): boolean => mine === undefined || trade.seq > mine;
    const fresh = item.trades.filter(isNew).map(toTrade);
    if (mine !== undefined) {
      // Every trade has its own dense seq, so the first new one tells how many are not there.
      const complete = (fresh[0]?.seq ?? item.seq + 1) - 1;
      view.missed += Math.max(0, complete - mine);
    }
    if (isSnapshot) {
      view.trades = item.trades.map(toTrade);
    } else {
      for (const trade of fresh) view.trades.push(trade);
    }
    if (view.trades.length > this.keep) view.trades.splice(0, view.trades.length - this.keep);
    view.fresh = fresh;
    view.tsPublish = item.ts_publish;
    return true;
  }
}
