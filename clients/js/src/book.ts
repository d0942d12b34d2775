// The book of an instrument down to a depth.
//
// A client never cuts it: what leaves the view is sent with size 0.

import { bookChecksum } from "./checksum.js";
import { compareDecimals } from "./decimal.js";
import { emptyState, Stream, type Writable } from "./stream.js";
import type { Book, StreamState } from "./types.js";
import type { BookItem, Item } from "./wire.js";

type Side = [string, string][];

/** A view whose sides this file may change. */
interface BookView extends Writable<StreamState>, Omit<Writable<Book>, "bids" | "asks" | keyof StreamState> {
  bids: Side;
  asks: Side;
}

/** Where a price stands or belongs in a side; `sign` is 1 where prices rise (asks), −1 where they fall (bids). */
function placeOf(side: Side, price: string, sign: 1 | -1): number {
  let low = 0;
  let high = side.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const level = side[middle];
    if (level !== undefined && compareDecimals(level[0], price) * sign < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function applyLevels(side: Side, levels: Side, sign: 1 | -1): void {
  for (const level of levels) {
    const at = placeOf(side, level[0], sign);
    const isHeld = side[at]?.[0] === level[0];
    if (level[1] === "0") {
      if (isHeld) side.splice(at, 1);
    } else if (isHeld) {
      side[at] = level;
    } else {
      side.splice(at, 0, level);
    }
  }
}

/** A snapshot's side is taken over as it is; sorted only if it is not. */
function inOrder(side: Side, sign: 1 | -1): Side {
  const isSorted = side.every((level, at) => {
    const before = side[at - 1];
    return before === undefined || compareDecimals(before[0], level[0]) * sign < 0;
  });
  return isSorted ? side : side.sort((a, b) => compareDecimals(a[0], b[0]) * sign);
}

export class BookStream extends Stream<"book"> {
  readonly channel = "book";
  readonly view: BookView;

  constructor(symbol: string, readonly verifies: boolean) {
    super(symbol);
    this.view = { ...emptyState(symbol), depth: 0, bids: [], asks: [], checksum: 0, tsEvent: 0 };
  }

  override shows(item: Item): boolean {
    return (item as BookItem).depth === this.view.depth;
  }

  override apply(item: BookItem, isSnapshot: boolean): boolean {
    const view = this.view;
    if (isSnapshot) {
      view.depth = item.depth;
      view.bids = inOrder(item.bids, -1);
      view.asks = inOrder(item.asks, 1);
    } else {
      applyLevels(view.bids, item.bids, -1);
      applyLevels(view.asks, item.asks, 1);
    }
    view.checksum = item.checksum;
    view.tsEvent = item.ts_event;
    view.tsPublish = item.ts_publish;
    return !this.verifies || bookChecksum(view.bids, view.asks) === item.checksum;
  }
}
