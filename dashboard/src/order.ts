// The order of the watchlist: what each column sorts by. Pure.

import type { Column, Sort } from "./address.js";

/** What sorting needs to know of a row. */
export interface Sortable {
  readonly symbol: string;
  /** The place in the service's own list. */
  readonly rank: number;
  readonly last: string | null | undefined;
  readonly open: string | null | undefined;
  readonly bid: string | null | undefined;
  readonly ask: string | null | undefined;
  readonly volume: string | null | undefined;
  readonly state: string;
  readonly tsEvent: number;
}

/** The worst last, as a person looks for trouble. */
const STATES = ["live", "resync", "stale", "halted", "closed"];

/** null sorts last, whichever the direction. */
type Key = (row: Sortable) => number | string | null;

const numberOf = (text: string | null | undefined): number | null => (text == null ? null : Number(text));

function changeOf({ last, open }: Sortable): number | null {
  if (last == null || open == null || Number(open) === 0) return null;
  return Number(last) / Number(open) - 1;
}

/** Relative, so that instruments of different prices compare. */
function spreadOf({ bid, ask }: Sortable): number | null {
  if (bid == null || ask == null) return null;
  const middle = Number(bid) + Number(ask);
  return middle === 0 ? null : (Number(ask) - Number(bid)) / middle;
}

const KEYS: Record<Column, Key> = {
  symbol: ({ symbol }) => symbol,
  last: ({ last }) => numberOf(last),
  change: changeOf,
  bid: ({ bid }) => numberOf(bid),
  ask: ({ ask }) => numberOf(ask),
  spread: spreadOf,
  volume: ({ volume }) => numberOf(volume),
  // The older the greater, as the column shows it.
  age: ({ tsEvent }) => (tsEvent > 0 ? -tsEvent : null),
  state: ({ state }) => STATES.indexOf(state),
};

/** A new array in order; equal keys keep the service's order, so that rows do not dance. */
export function order<R extends Sortable>(rows: readonly R[], sort: Sort | null): R[] {
  const list = [...rows];
  if (!sort) return list.sort((a, b) => a.rank - b.rank);
  const key = KEYS[sort.by];
  const way = sort.isDown ? -1 : 1;
  const keyed = list.map((row) => ({ row, key: key(row) }));
  keyed.sort((a, b) => compare(a.key, b.key, way) || a.row.rank - b.row.rank);
  return keyed.map(({ row }) => row);
}

function compare(a: number | string | null, b: number | string | null, way: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a < b ? -way : a > b ? way : 0;
}

/** The natural first direction of a column: names forwards, figures from the greatest. */
export const firstIsDown = (by: Column): boolean => by !== "symbol";

/** Another click on a column: natural, the other way, none. */
export function nextSort(sort: Sort | null, by: Column): Sort | null {
  const first = firstIsDown(by);
  if (sort?.by !== by) return { by, isDown: first };
  return sort.isDown === first ? { by, isDown: !first } : null;
}
