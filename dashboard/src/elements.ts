// Elements by id, made and changed: text and attributes are only touched when they differ.

export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found as E;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K, className = "", text = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A text node that remembers nothing but itself. */
export class Words {
  readonly node = document.createTextNode("");

  constructor(parent: Element) { parent.append(this.node); }

  set(text: string): void {
    if (this.node.data !== text) this.node.data = text;
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** A line without axes. */
export class Line {
  readonly svg = document.createElementNS(SVG, "svg");
  readonly #path = document.createElementNS(SVG, "path");
  #d = "";

  constructor(parent: Element, readonly width: number, readonly height: number) {
    // A stroke's width beyond the line on each side, so that its peaks are not cut.
    this.svg.setAttribute("viewBox", `0 -1.5 ${width} ${height + 3}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    this.svg.append(this.#path);
    parent.append(this.svg);
  }

  set(d: string): void {
    if (this.#d === d) return;
    this.#d = d;
    this.#path.setAttribute("d", d);
  }
}

/** A few buttons of which one is pressed. */
export class Choice<T> {
  readonly #buttons = new Map<T, HTMLButtonElement>();

  constructor(parent: HTMLElement, options: readonly T[], name: (option: T) => string, chosen: (option: T) => void) {
    for (const option of options) {
      const button = make("button", "", name(option));
      button.type = "button";
      button.addEventListener("click", () => chosen(option));
      this.#buttons.set(option, button);
      parent.append(button);
    }
  }

  press(chosen: T): void {
    for (const [option, button] of this.#buttons) {
      button.setAttribute("aria-pressed", String(option === chosen));
    }
  }
}
