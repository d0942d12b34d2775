// The trades tape, newest first.

import type { Trade } from "tickcast";
import { Words, byId, make, setText } from "./elements.js";
import { count, timeOfDay } from "./format.js";
import type { TradesCopy } from "./messages.js";
import { PACE_MS, paced, painter } from "./painter.js";
import { VirtualList, type RowView } from "./virtual.js";

const ROW_PX = 20;
const TRADES_MAX = 200;

class Print implements RowView {
  readonly element = make("div", "print");
  readonly #price: Words;
  readonly #size: Words;
  readonly #time: Words;
  #side = "";

  constructor() {
    const [price, size, time] = [make("span", "price"), make("span"), make("span", "time")];
    this.element.append(price, size, time);
    this.#price = new Words(price);
    this.#size = new Words(size);
    this.#time = new Words(time);
  }

  draw({ price, size, side, tsEvent }: Trade): void {
    if (side !== this.#side) {
      this.#side = side;
      this.element.className = `print ${side}`;
      this.element.title = side === "buy" ? "the buyer crossed" : "the seller crossed";
    }
    // An arrow as well: colour is never the only sign.
    this.#price.set(`${side === "buy" ? "▲" : "▼"} ${price}`);
    this.#size.set(size);
    this.#time.set(timeOfDay(tsEvent));
  }
}

export class Tape {
  /** What is drawn, and what is to be. */
  #trades: Trade[] = [];
  #next: Trade[] = [];
  readonly #list: VirtualList<Print>;

  constructor() {
    const scroller = byId("tape");
    this.#list = new VirtualList(scroller, scroller.querySelector<HTMLElement>(".rows")!, ROW_PX,
      () => new Print(), (view, index) => view.draw(this.#trades[index]!));
  }

  clear(): void {
    this.#next = [];
    painter.ask(this.#draw);
    setText(byId("tape-missed"), "");
  }

  take({ isReset, trades, missed }: TradesCopy): void {
    const fresh = [...trades].reverse();
    this.#next = (isReset ? fresh : [...fresh, ...this.#next]).slice(0, TRADES_MAX);
    this.#ask();
    setText(byId("tape-missed"), missed ? `${count(missed)} missed` : "");
  }

  readonly #draw = (): void => {
    this.#trades = this.#next;
    this.#list.count = this.#trades.length;
    this.#list.drawAll();
  };

  readonly #ask = paced(PACE_MS.tape, this.#draw);
}
