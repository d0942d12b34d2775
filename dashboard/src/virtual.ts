// A list of any length in a bounded number of elements: only what the window of the scroller
// shows, and a few rows around it, is in the document. Elements are recycled as it scrolls.

import { painter } from "./painter.js";

export interface RowView {
  readonly element: HTMLElement;
}

/** Rows drawn beyond each edge, so that scrolling has something to show before it is drawn. */
const MARGIN = 4;
/** Whatever the size of the window. */
export const VIEWS_MAX = 256;

export class VirtualList<V extends RowView> {
  readonly #scroller: HTMLElement;
  readonly #content: HTMLElement;
  readonly #make: (slot: number) => V;
  readonly #draw: (view: V, index: number) => void;
  readonly #views: V[] = [];
  /** Which row each view is placed at; −1: none. */
  #places: number[] = [];
  #rowHeight: number;
  #offset = 0;
  #count = 0;
  #height = 0;
  #scrollTop = 0;

  /** `draw` fills a view with row `index`; `offset` is what stands above the rows in the scroller. */
  constructor(scroller: HTMLElement, content: HTMLElement, rowHeight: number,
    make: (slot: number) => V, draw: (view: V, index: number) => void, offset = 0) {
    this.#scroller = scroller;
    this.#content = content;
    this.#rowHeight = rowHeight;
    this.#offset = offset;
    this.#make = make;
    this.#draw = draw;
    scroller.addEventListener("scroll", () => {
      this.#scrollTop = scroller.scrollTop;
      painter.ask(this.drawAll);
    }, { passive: true });
    new ResizeObserver(([entry]) => {
      this.#height = entry!.contentRect.height;
      painter.ask(this.drawAll);
    }).observe(scroller);
  }

  get count(): number { return this.#count; }
  get rowHeight(): number { return this.#rowHeight; }
  get pageRows(): number { return Math.max(1, Math.floor((this.#height - this.#offset) / this.#rowHeight) - 1); }

  set rowHeight(px: number) {
    if (px === this.#rowHeight) return;
    this.#rowHeight = px;
    this.#places.fill(-1);
    this.#content.style.height = `${this.#count * px}px`;
    painter.ask(this.drawAll);
  }

  set count(count: number) {
    if (count === this.#count) return;
    this.#count = count;
    this.#content.style.height = `${count * this.#rowHeight}px`;
    painter.ask(this.drawAll);
  }

  #range(): [first: number, end: number] {
    const first = Math.floor((this.#scrollTop) / this.#rowHeight) - MARGIN;
    const shown = Math.ceil(this.#height / this.#rowHeight) + 2 * MARGIN;
    const from = Math.max(0, Math.min(first, this.#count - shown));
    return [from, Math.min(this.#count, from + Math.min(shown, VIEWS_MAX))];
  }

  /** Calls `draw` for every row in the window; places views where they are not yet. */
  readonly drawAll = (): void => {
    const [from, end] = this.#range();
    while (this.#views.length < end - from) {
      const view = this.#make(this.#views.length);
      this.#views.push(view);
      this.#places.push(-1);
      this.#content.append(view.element);
      // Another number of views deals all rows anew.
      this.#places.fill(-1);
    }
    const { length } = this.#views;
    for (let slot = 0; slot < length; slot += 1) {
      const place = this.#places[slot]!;
      if (place >= 0 && (place < from || place >= end || place % length !== slot)) this.#hide(slot);
    }
    for (let index = from; index < end; index += 1) {
      const slot = index % length;
      this.#place(slot, index);
      this.#draw(this.#views[slot]!, index);
    }
    for (let slot = 0; slot < length; slot += 1) if (this.#places[slot] === -1) this.#hide(slot);
  };

  #place(slot: number, index: number): void {
    if (this.#places[slot] === index) return;
    this.#places[slot] = index;
    const { element } = this.#views[slot]!;
    element.style.transform = `translateY(${index * this.#rowHeight}px)`;
    if (element.hidden) element.hidden = false;
  }

  #hide(slot: number): void {
    this.#places[slot] = -1;
    const { element } = this.#views[slot]!;
    if (!element.hidden) element.hidden = true;
  }

  /** The view of a row, if it is in the window. */
  viewOf(index: number): V | undefined {
    const slot = index % this.#views.length;
    return this.#places[slot] === index ? this.#views[slot] : undefined;
  }

  /** Each view and the row that it shows. */
  forEachView(visit: (view: V, index: number) => void): void {
    this.#places.forEach((index, slot) => {
      if (index >= 0) visit(this.#views[slot]!, index);
    });
  }

  scrollTo(index: number, where: "nearest" | "center"): void {
    const top = index * this.#rowHeight;
    const room = this.#height - this.#offset;
    let wanted = this.#scrollTop;
    if (where === "center") wanted = top - (room - this.#rowHeight) / 2;
    else if (top < this.#scrollTop) wanted = top;
    else if (top + this.#rowHeight > this.#scrollTop + room) wanted = top + this.#rowHeight - room;
    if (wanted !== this.#scrollTop) this.#scroller.scrollTop = wanted;
  }
}
