// The details popover: epoch, sequence and times of each stream of the instrument.

import { byId, make } from "./elements.js";
import { NOTHING, instant } from "./format.js";
import type { BarsCopy, BookCopy, StreamHead, TickerCopy, TradesCopy } from "./messages.js";

const STREAMS = ["ticker", "book", "trades", "bars"] as const;
const COLUMNS = ["stream", "state", "epoch", "seq", "venue's time", "published", "checksum"] as const;

export class Details {
  readonly #popover = byId("details");
  readonly #cells = new Map<string, HTMLTableCellElement[]>();
  readonly #heads = new Map<string, StreamHead & { checksum?: number; tsEvent?: number }>();

  constructor() {
    const table = make("table");
    table.append(make("caption", "", "Streams of this instrument"));
    const head = table.createTHead().insertRow();
    for (const name of COLUMNS) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    for (const stream of STREAMS) {
      const row = body.insertRow();
      const name = make("th", "", stream);
      name.scope = "row";
      row.append(name);
      row.dataset.stream = stream;
      this.#cells.set(stream, COLUMNS.slice(1).map(() => row.insertCell()));
    }
    this.#popover.append(table, make("p", "note", "Epoch and sequence are those of /v1/snapshot; a reconnect asks for what came after them."));
    this.#popover.addEventListener("toggle", () => this.draw());
  }

  toggle(): void { this.#popover.togglePopover(); }

  clear(): void {
    this.#heads.clear();
    if (this.#popover.matches(":popover-open")) this.#popover.hidePopover();
  }

  take(ticker: TickerCopy | undefined, book?: BookCopy, trades?: TradesCopy, bars?: BarsCopy): void {
    for (const [stream, copy] of [["ticker", ticker], ["book", book], ["trades", trades], ["bars", bars]] as const) {
      if (copy) this.#heads.set(stream, copy);
    }
  }

  draw(): void {
    if (!this.#popover.matches(":popover-open")) return;
    for (const [stream, cells] of this.#cells) {
      const head = this.#heads.get(stream);
      const texts = head ? [head.state, String(head.epoch), String(head.seq), instant(head.tsEvent),
        instant(head.tsPublish), head.checksum === undefined ? NOTHING : String(head.checksum)] : [];
      cells.forEach((cell, index) => {
        const text = texts[index] ?? NOTHING;
        if (cell.textContent !== text) cell.textContent = text;
      });
    }
  }
}
