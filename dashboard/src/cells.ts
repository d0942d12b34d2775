// Cells of figures: they touch the document only when they change, and flash where a price moved.
// A flash is two steps of a class and not an animation: it costs two paints and not thirty.

import { every } from "./painter.js";
import { NOTHING } from "./format.js";

const FLASH_MS = 220;
const FADE_MS = 500;
const SWEEP_MS = 100;

const reducesMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** The cells that flash now: at most those that are in the document. */
const flashing = new Set<PriceCell>();

every(SWEEP_MS, () => {
  const now = performance.now();
  for (const cell of flashing) if (cell.fade(now)) flashing.delete(cell);
});

export class Cell {
  readonly element: HTMLElement;
  readonly node = document.createTextNode(NOTHING);
  protected readonly base: string;
  #sign = "";

  constructor(parent: Element, className: string, role = "") {
    this.element = document.createElement("div");
    this.base = className;
    this.element.className = className;
    if (role) this.element.setAttribute("role", role);
    // A box of its own size within the grid's: a text that changes lays out nothing but itself.
    const box = document.createElement("div");
    box.className = "v";
    box.append(this.node);
    this.element.append(box);
    parent.append(this.element);
  }

  /** `sign` is a class of its own: `up`, `down` or nothing. */
  show(text: string, sign = ""): void {
    if (this.node.data !== text) this.node.data = text;
    if (this.#sign === sign) return;
    this.#sign = sign;
    this.element.className = sign ? `${this.base} ${sign}` : this.base;
  }
}

export class PriceCell extends Cell {
  #flash = "";
  #since = 0;

  /** Shows a price and, where it may, the way it went. */
  price(text: string | null | undefined, mayFlash: boolean): void {
    const shown = text ?? NOTHING;
    if (this.node.data === shown) return;
    const move = Number(shown) - Number(this.node.data);
    this.node.data = shown;
    if (!mayFlash || !move || reducesMotion.matches) return;
    this.#since = performance.now();
    this.#set(move > 0 ? "flash-up" : "flash-down");
    flashing.add(this);
  }

  /** One step on; answers whether it was the last. */
  fade(now: number): boolean {
    const age = now - this.#since;
    if (age > FADE_MS) this.still();
    else if (age > FLASH_MS && !this.#flash.endsWith(" fading")) this.#set(`${this.#flash} fading`);
    return this.#flash === "";
  }

  still(): void { this.#set(""); }

  #set(flash: string): void {
    if (this.#flash === flash) return;
    this.#flash = flash;
    this.element.className = flash ? `${this.base} ${flash}` : this.base;
  }
}
