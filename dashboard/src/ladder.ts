// The depth ladder: asks above bids, each level with a bar of what stands before it. Any number of
// levels; those in the window are drawn.

import { runningSums, spread, text as decimalText, type Decimal } from "./decimal.js";
import { Words, byId, make } from "./elements.js";
import type { BookCopy } from "./messages.js";
import { PACE_MS, paced, painter } from "./painter.js";
import { VirtualList, type RowView } from "./virtual.js";

const ROW_PX = 20;

class Level implements RowView {
  readonly element = make("div", "level");
  readonly #bar = make("i");
  readonly #price: Words;
  readonly #size: Words;
  readonly #sum: Words;
  #kind = "";
  #share = -1;

  constructor() {
    const [price, size, sum] = [make("span", "price"), make("span"), make("span", "sum")];
    this.element.append(this.#bar, price, size, sum);
    this.#price = new Words(price);
    this.#size = new Words(size);
    this.#sum = new Words(sum);
  }

  draw(kind: "ask" | "bid" | "middle", price: string, size: string, sum: string, share: number): void {
    if (kind !== this.#kind) {
      this.#kind = kind;
      this.element.className = `level ${kind}`;
    }
    this.#price.set(price);
    this.#size.set(size);
    this.#sum.set(sum);
    // Hundredths are finer than a pixel; what does not differ in them is not drawn again.
    const rounded = Math.round(share * 400) / 400;
    if (rounded === this.#share) return;
    this.#share = rounded;
    this.#bar.style.transform = `scaleX(${rounded})`;
  }
}

export class Ladder {
  readonly #scroller = byId("ladder");
  readonly #list: VirtualList<Level>;
  /** What is drawn, and what is to be. */
  #book: BookCopy | null = null;
  #next: BookCopy | null = null;
  #asks: Decimal[] = [];
  #bids: Decimal[] = [];
  #deepest = 0;
  /** Until the person scrolls, the middle stays in the middle. */
  #isCentred = true;
  #centredAt = -1;

  constructor() {
    this.#list = new VirtualList(this.#scroller, this.#scroller.querySelector<HTMLElement>(".rows")!, ROW_PX,
      () => new Level(), (view, index) => this.#drawLevel(view, index));
    for (const event of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      this.#scroller.addEventListener(event, () => { this.#isCentred = false; }, { passive: true });
    }
    new ResizeObserver(() => {
      this.#centredAt = -1;
      painter.ask(this.#draw);
    }).observe(this.#scroller);
  }

  clear(): void {
    this.#isCentred = true;
    this.#centredAt = -1;
    this.#next = null;
    this.#take();
    painter.ask(this.#draw);
  }

  take(book: BookCopy): void {
    if (this.#next?.depth !== book.depth) {
      this.#isCentred = true;
      this.#centredAt = -1;
    }
    this.#next = book;
    this.#askNext();
  }

  /** Keeps the number of lines in step with the book, whatever draws them first. */
  #take(): void {
    const book = this.#book = this.#next;
    const sizes = (levels: readonly string[]) => levels.filter((_, index) => index % 2 === 1);
    this.#asks = runningSums(sizes(book?.asks ?? []));
    this.#bids = runningSums(sizes(book?.bids ?? []));
    const total = (sums: Decimal[]) => (sums.length ? Number(decimalText(sums.at(-1)!)) : 0);
    this.#deepest = Math.max(total(this.#asks), total(this.#bids));
    this.#list.count = book ? this.#asks.length + this.#bids.length + 1 : 0;
  }

  readonly #askNext = paced(PACE_MS.ladder, () => {
    this.#take();
    this.#draw();
  });

  readonly #draw = (): void => {
    this.#centre();
    this.#list.drawAll();
  };

  #centre(): void {
    const middle = this.#asks.length;
    if (!this.#isCentred || !this.#book || this.#centredAt === middle) return;
    this.#centredAt = middle;
    this.#list.scrollTo(middle, "center");
  }

  #drawLevel(view: Level, index: number): void {
    const { asks, bids } = this.#book!;
    const count = this.#asks.length;
    if (index === count) {
      const between = spread(bids[0], asks[0]);
      view.draw("middle", between?.amount ?? "", between?.basisPoints ? `${between.basisPoints} bp` : "", "spread", 0);
      return;
    }
    const [kind, levels, sums, level] = index < count
      ? ["ask" as const, asks, this.#asks, count - 1 - index]
      : ["bid" as const, bids, this.#bids, index - count - 1];
    const sum = decimalText(sums[level]!);
    view.draw(kind, levels[2 * level]!, levels[2 * level + 1]!, sum, this.#deepest ? Number(sum) / this.#deepest : 0);
  }
}
