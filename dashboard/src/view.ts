// The view of one instrument: its figures, state and latencies; chart, ladder and tape have files
// of their own. The chart's library is fetched when an instrument is first opened.

import type { BarChart } from "./chart.js";
import { now } from "./clock.js";
import { dayChange, spread } from "./decimal.js";
import { Details } from "./details.js";
import { byId, setText } from "./elements.js";
import { NOTHING, delay, latency } from "./format.js";
import { Ladder } from "./ladder.js";
import { Latency, delayOf } from "./latency.js";
import type { BarsCopy, Batch, InstrumentCopy, LinkCopy } from "./messages.js";
import { PACE_MS, every, paced, painter } from "./painter.js";
import type { Row } from "./rows.js";
import { Tape } from "./tape.js";

const PATH_EVERY_MS = 500;
const TITLE_EVERY_MS = 1_000;
const SIGNS = { "-1": "down", 0: "", 1: "up" } as const;

export class InstrumentView {
  readonly #section = byId("view");
  readonly #ladder = new Ladder();
  readonly #tape = new Tape();
  readonly #details = new Details();
  readonly #venue = new Latency();
  /** By two clocks: the offset between them is added when it is shown, by the newest estimate. */
  readonly #network = new Latency();
  readonly #screen = new Latency();
  #chart: BarChart | null = null;
  /** Bars that came before the chart's code did. */
  #early: BarsCopy[] = [];
  #symbol: string | null = null;
  #row: Row | undefined;
  #link: LinkCopy | undefined;
  #drawn: Row["ticker"] | undefined;
  #failureDrawn: string | undefined;
  /** The newest event by the venue's time, or ours where it gives none; null before the first one. */
  #event: number | null = null;
  /** Tick and lot size by symbol, of the service's list. */
  #sizes = new Map<string, string>();

  constructor() {
    every(PATH_EVERY_MS, () => this.#drawPath());
    every(TITLE_EVERY_MS, () => this.#drawTitle());
  }

  list(instruments: readonly InstrumentCopy[]): void {
    this.#sizes = new Map(instruments.map(({ symbol, tickSize, lotSize }) => [symbol, `${tickSize ?? NOTHING}, ${lotSize ?? NOTHING}`]));
    painter.ask(this.draw);
  }

  /** Shows another instrument, or none. */
  open(symbol: string | null, row: Row | undefined): void {
    if (symbol === this.#symbol) return;
    this.#symbol = symbol;
    this.#row = row;
    this.#section.hidden = symbol === null;
    document.body.dataset.view = symbol === null ? "none" : "open";
    this.clearBars();
    this.#ladder.clear();
    this.#tape.clear();
    this.#details.clear();
    for (const one of [this.#venue, this.#network, this.#screen]) one.clear();
    this.#event = null;
    painter.ask(this.draw);
    if (symbol === null) return;
    const at = symbol.indexOf(":");
    setText(byId("view-name"), symbol.slice(at + 1));
    setText(byId("view-venue"), symbol.slice(0, Math.max(0, at)));
    if (!this.#chart) void this.#loadChart();
  }

  async #loadChart(): Promise<void> {
    const { BarChart } = await import("./chart.js");
    this.#chart ??= new BarChart();
    for (const bars of this.#early.splice(0)) this.#chart.take(bars);
  }

  /** Another interval: the bars of the old one go at once. */
  clearBars(): void {
    this.#early = [];
    this.#chart?.clear();
  }

  paint(): void { this.#chart?.paint(); }

  take({ book, trades, bars, link }: Batch, row: Row | undefined): void {
    this.#link = link ?? this.#link;
    if (this.#symbol === null) return;
    if (row !== this.#row || row?.ticker !== this.#drawn || this.#failure() !== this.#failureDrawn) {
      this.#row = row;
      this.#askDraw();
    }
    if (row) this.#measure(row.ticker);
    this.#details.take(row?.ticker, book, trades, bars);
    // What was on its way for another instrument is not this one's.
    if (book?.symbol === this.#symbol) this.#ladder.take(book);
    if (trades?.symbol === this.#symbol) this.#tape.take(trades);
    if (bars?.symbol === this.#symbol) this.#takeBars(bars);
  }

  /** In the service's words, why the instrument is not served. */
  #failure(): string | undefined {
    const looked = this.#link?.looked;
    return looked && looked.asked === this.#symbol ? looked.failure : undefined;
  }

  #takeBars(bars: BarsCopy): void {
    if (this.#chart) this.#chart.take(bars);
    else if (bars.isReset) this.#early = [bars];
    else this.#early.push(bars);
  }

  /** Of events that have come since the first state, which may have been old when it was asked for. */
  #measure({ tsEvent, tsPublish, receivedAt }: Row["ticker"]): void {
    const [event, before] = [tsEvent || receivedAt, this.#event];
    this.#event = event;
    if (before === null || event === before) return;
    if (tsEvent > 0) this.#venue.add((tsPublish - tsEvent) / 1_000);
    this.#network.add(receivedAt - tsPublish / 1_000);
    this.#screen.add(now() - receivedAt);
  }

  readonly draw = (): void => {
    const ticker = this.#row?.ticker;
    this.#drawn = ticker;
    this.#failureDrawn = this.#failure();
    const failure = this.#failure();
    const isServed = ticker !== undefined || failure === undefined;
    const state = isServed ? ticker?.state ?? "resync" : "closed";
    this.#section.dataset.state = state;
    setText(byId("view-state"), isServed ? state : "not served");
    setText(byId("view-failure"), failure ?? "");
    byId("view-failure").hidden = failure === undefined;
    setText(byId("view-last"), ticker?.last ?? NOTHING);
    const change = dayChange(ticker?.last, ticker?.open);
    setText(byId("view-change"), change ? `${change.amount} (${change.percent})` : "");
    byId("view-change").className = change ? SIGNS[change.sign] : "";
    const between = spread(ticker?.bid, ticker?.ask);
    const quote = (price: string | null | undefined, size: string | null | undefined) =>
      (price == null ? NOTHING : `${price} × ${size ?? NOTHING}`);
    setText(byId("view-bid"), quote(ticker?.bid, ticker?.bidSize));
    setText(byId("view-ask"), quote(ticker?.ask, ticker?.askSize));
    setText(byId("view-spread"), between ? `${between.amount} (${between.basisPoints} bp)` : NOTHING);
    for (const field of ["open", "high", "low", "volume"] as const) {
      setText(byId(`view-${field}`), ticker?.[field] ?? NOTHING);
    }
    setText(byId("view-sizes"), this.#sizes.get(this.#symbol ?? "") ?? NOTHING);
  };

  readonly #askDraw = paced(PACE_MS.figures, this.draw);

  #drawPath(): void {
    if (this.#symbol === null) return;
    setText(byId("path-venue"), latency(this.#venue.median()));
    setText(byId("path-network"), delay(delayOf(this.#network.median(), this.#link?.offset)));
    setText(byId("path-screen"), latency(this.#screen.median()));
    this.#details.draw();
  }

  #drawTitle(): void {
    const last = this.#row?.ticker.last;
    const title = this.#symbol === null ? "tickcast" : `${last ?? ""} ${this.#symbol} · tickcast`.trim();
    if (document.title !== title) document.title = title;
  }
}
