// One row of the watchlist in the document. It is recycled: `draw` fills it with another
// instrument as the list scrolls or is sorted.

import { Cell, PriceCell } from "./cells.js";
import { ageMs } from "./clock.js";
import { dayChange, spread } from "./decimal.js";
import { Line, Words, make } from "./elements.js";
import { NOTHING, age, shortSize, shortVolume } from "./format.js";
import type { Row } from "./rows.js";
import type { RowView } from "./virtual.js";

const SPARK_WIDTH = 64;
const SPARK_HEIGHT = 14;
const SIGNS = { "-1": "down", 0: "", 1: "up" } as const;

export class WatchRow implements RowView {
  readonly element = make("div", "row");
  row: Row | null = null;
  readonly #symbol = make("div", "c-symbol");
  readonly #name: Words;
  readonly #venue: Words;
  readonly #last: PriceCell;
  readonly #change: Cell;
  readonly #spark: Line;
  readonly #bidSize: Cell;
  readonly #bid: PriceCell;
  readonly #ask: PriceCell;
  readonly #askSize: Cell;
  readonly #spread: Cell;
  readonly #high: Cell;
  readonly #low: Cell;
  readonly #volume: Cell;
  readonly #age: Cell;
  readonly #badge: Words;
  #shownTicker: object | null = null;

  constructor(slot: number) {
    const { element } = this;
    element.id = `row-${slot}`;
    element.setAttribute("role", "row");
    this.#symbol.setAttribute("role", "rowheader");
    const [name, venue] = [make("span", "name"), make("span", "venue")];
    this.#symbol.append(name, venue);
    element.append(this.#symbol);
    this.#name = new Words(name);
    this.#venue = new Words(venue);
    this.#last = new PriceCell(element, "c-last", "gridcell");
    this.#change = new Cell(element, "c-change", "gridcell");
    const spark = make("div", "c-spark");
    spark.setAttribute("role", "gridcell");
    element.append(spark);
    this.#spark = new Line(spark, SPARK_WIDTH, SPARK_HEIGHT);
    this.#bidSize = new Cell(element, "c-size wide", "gridcell");
    this.#bid = new PriceCell(element, "c-bid", "gridcell");
    this.#ask = new PriceCell(element, "c-ask", "gridcell");
    this.#askSize = new Cell(element, "c-size wide", "gridcell");
    this.#spread = new Cell(element, "c-spread", "gridcell");
    this.#high = new Cell(element, "c-high wide", "gridcell");
    this.#low = new Cell(element, "c-low wide", "gridcell");
    this.#volume = new Cell(element, "c-volume", "gridcell");
    this.#age = new Cell(element, "c-age", "gridcell");
    const state = make("div", "c-state");
    state.setAttribute("role", "gridcell");
    const badge = make("span", "badge");
    state.append(badge);
    element.append(state);
    this.#badge = new Words(badge);
  }

  /** Shows a row at a place of the list; cheap where nothing of it changed. */
  draw(row: Row, index: number, isCurrent: boolean): void {
    const isOther = this.row !== row;
    this.row = row;
    const { element } = this;
    if (isOther) {
      element.dataset.symbol = row.symbol;
      this.#symbol.title = row.symbol; // where there is no room for all of it
      this.#name.set(row.name);
      this.#venue.set(row.venue);
    }
    const place = String(index + 2);
    if (element.getAttribute("aria-rowindex") !== place) {
      element.setAttribute("aria-rowindex", place);
      element.classList.toggle("odd", index % 2 === 1);
    }
    if ((element.ariaSelected === "true") !== isCurrent) element.ariaSelected = String(isCurrent);
    if (isOther || this.#shownTicker !== row.ticker) this.#drawTicker(row, isOther);
  }

  #drawTicker(row: Row, isOther: boolean): void {
    const { ticker } = row;
    this.#shownTicker = ticker;
    if (this.element.dataset.state !== ticker.state) {
      this.element.dataset.state = ticker.state;
      this.#badge.set(ticker.state);
    }
    const mayFlash = !isOther && !ticker.stale;
    for (const [cell, text] of [[this.#last, ticker.last], [this.#bid, ticker.bid], [this.#ask, ticker.ask]] as const) {
      if (isOther) cell.still();
      cell.price(text, mayFlash);
    }
    const change = dayChange(ticker.last, ticker.open);
    this.#change.show(change?.percent ?? NOTHING, change ? SIGNS[change.sign] : "");
    this.#spread.show(spread(ticker.bid, ticker.ask)?.basisPoints ?? NOTHING);
    this.#bidSize.show(shortSize(ticker.bidSize));
    this.#askSize.show(shortSize(ticker.askSize));
    this.#high.show(ticker.high ?? NOTHING);
    this.#low.show(ticker.low ?? NOTHING);
    this.#volume.show(shortVolume(ticker.volume));
    this.drawAge();
    if (isOther) this.drawSpark();
  }

  drawAge(): void {
    const ts = this.row?.tsEvent ?? 0;
    this.#age.show(ts > 0 ? age(ageMs(ts)) : NOTHING);
  }

  drawSpark(): void {
    this.#spark.set(this.row?.history.path(SPARK_WIDTH, SPARK_HEIGHT) ?? "");
  }
}
