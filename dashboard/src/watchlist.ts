// The watchlist: which rows are shown, in which order, and the cursor among them. Sorting and
// searching look at all instruments; the document has only those in the window.

import { nextSort, order } from "./order.js";
import type { Column, Sort } from "./address.js";
import { byId, setText } from "./elements.js";
import { count } from "./format.js";
import { search } from "./glob.js";
import { every, painter } from "./painter.js";
import type { Row, Rows } from "./rows.js";
import { VirtualList } from "./virtual.js";
import { WatchRow } from "./watchrow.js";

const AGES_EVERY_MS = 200;
const SPARKS_EVERY_MS = 1_000;
const ORDER_EVERY_MS = 1_000;
/** Height of a row, and of the header above them; the style sheet has the same numbers. */
const ROW_PX = 26;
const ROW_TOUCH_PX = 48;
const HEAD_PX = 28;

export interface WatchlistEvents {
  sort(sort: Sort | null): void;
  open(symbol: string): void;
}

export class Watchlist {
  readonly #rows: Rows;
  readonly #events: WatchlistEvents;
  readonly #grid = byId("grid");
  readonly #list: VirtualList<WatchRow>;
  readonly #heads = [...document.querySelectorAll<HTMLElement>("[data-sort]")];
  #shown: Row[] = [];
  #filter = "";
  #isFilterNew = false;
  #sort: Sort | null = null;
  /** The symbol under the cursor; it stays with it when the order changes. */
  #cursor: string | null = null;

  constructor(rows: Rows, events: WatchlistEvents) {
    this.#rows = rows;
    this.#events = events;
    const touch = matchMedia("(max-width: 640px)");
    const height = () => (touch.matches ? ROW_TOUCH_PX : ROW_PX);
    this.#list = new VirtualList(this.#grid, byId("rows"), height(), (slot) => new WatchRow(slot),
      (view, index) => view.draw(this.#shown[index]!, index, this.#shown[index]!.symbol === this.#cursor), HEAD_PX);
    touch.addEventListener("change", () => { this.#list.rowHeight = height(); });
    byId("rows").addEventListener("click", (event) => this.#clicked(event));
    for (const head of this.#heads) {
      head.querySelector("button")!.addEventListener("click", () => {
        events.sort(nextSort(this.#sort, head.dataset.sort as Column));
      });
    }
    every(AGES_EVERY_MS, () => this.#list.forEachView((view) => view.drawAge()));
    every(SPARKS_EVERY_MS, () => {
      rows.sample(performance.now());
      this.#list.forEachView((view) => view.drawSpark());
    });
    every(ORDER_EVERY_MS, () => {
      if (this.#sort && this.#sort.by !== "symbol") this.#arrange();
    });
  }

  get cursor(): string | null { return this.#cursor; }

  set filter(text: string) {
    if (text === this.#filter) return;
    this.#filter = text;
    this.#isFilterNew = true;
    this.#grid.scrollTop = 0;
    painter.ask(this.#arrange);
  }

  set sort(sort: Sort | null) {
    this.#sort = sort;
    for (const head of this.#heads) {
      if (head.dataset.sort !== sort?.by) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sort?.isDown ? "descending" : "ascending");
    }
    painter.ask(this.#arrange);
  }

  /** Rows have come or gone. */
  changedRows(): void { painter.ask(this.#arrange); }

  /** Values have changed. */
  changedValues(): void { painter.ask(this.#list.drawAll); }

  /** Shows what another search finds without waiting for the frame, for a key that goes by it. */
  settle(): void {
    if (this.#isFilterNew) this.#arrange();
  }

  readonly #arrange = (): void => {
    this.#isFilterNew = false;
    const matches = search(this.#filter);
    const watched = this.#rows.watched();
    const found = watched.filter(({ symbol }) => matches(symbol));
    this.#shown = order(found, this.#sort);
    this.#list.count = this.#shown.length;
    this.#grid.setAttribute("aria-rowcount", String(this.#shown.length + 1));
    this.#list.drawAll();
    this.#point();
    this.#tell(watched.length);
  };

  #tell(held: number): void {
    const shown = this.#shown.length;
    setText(byId("shown"), shown === held ? `${count(held)} instruments` : `${count(shown)} of ${count(held)}`);
    const empty = byId("empty");
    empty.hidden = shown > 0;
    setText(empty, held > 0 ? "No instrument matches this search."
      : "No instruments yet: the service has sent none of these symbols.");
  }

  /** Tells assistive technology where the cursor is, as long as that row is in the document. */
  #point(): void {
    const view = this.#cursor === null ? undefined : this.#list.viewOf(this.#index());
    if (view) this.#grid.setAttribute("aria-activedescendant", view.element.id);
    else this.#grid.removeAttribute("aria-activedescendant");
  }

  #index(): number { return this.#shown.findIndex(({ symbol }) => symbol === this.#cursor); }

  #clicked(event: MouseEvent): void {
    const row = (event.target as Element).closest<HTMLElement>("[data-symbol]");
    if (!row) return;
    this.point(row.dataset.symbol!);
    this.#events.open(row.dataset.symbol!);
  }

  point(symbol: string | null): void {
    this.#cursor = symbol;
    painter.ask(this.#list.drawAll);
    painter.ask(this.#pointLater);
  }

  readonly #pointLater = (): void => this.#point();

  /** Moves the cursor by rows; beyond an end it stays there. */
  move(by: number): void {
    if (this.#shown.length === 0) return;
    const at = this.#index();
    const wanted = at < 0 ? (by > 0 ? 0 : this.#shown.length - 1) : at + by;
    const index = Math.max(0, Math.min(wanted, this.#shown.length - 1));
    this.#list.scrollTo(index, "nearest");
    this.point(this.#shown[index]!.symbol);
  }

  /** A page of rows, for PageUp and PageDown. */
  get page(): number { return this.#list.pageRows; }

  focus(): void { this.#grid.focus({ preventScroll: true }); }

  /** The one to open with Enter: under the cursor, or the only one found. */
  chosen(): string | null {
    if (this.#cursor !== null && this.#index() >= 0) return this.#cursor;
    return this.#shown[0]?.symbol ?? null;
  }
}
