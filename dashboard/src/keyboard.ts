// The keys of the page. Keys in text boxes stay theirs, except Escape, Enter and the arrows.

import { byId, make } from "./elements.js";

export interface KeyActions {
  move(by: number | "page-up" | "page-down" | "first" | "last"): void;
  open(): void;
  back(): void;
  search(): void;
  symbols(): void;
  theme(): void;
  panel(): void;
  slow(): void;
  details(): void;
  interval(by: 1 | -1): void;
  rate(index: number): void;
  help(): void;
}

/** What the help says, in its order. */
const HELP: readonly (readonly [keys: string, meaning: string])[] = [
  ["/", "search the watchlist"],
  ["g", "change the symbols that are subscribed to"],
  ["↑ ↓ PgUp PgDn Home End", "move in the watchlist"],
  ["Enter", "open the instrument, or apply what was typed"],
  ["Esc", "close what is open, or clear the search"],
  ["[ ]", "shorter, longer bars"],
  ["d", "epoch and sequence of each stream"],
  ["c", "connection panel"],
  ["1 2 3 4", "rate: real time, 10, 4, 1 a second"],
  ["s", "slow link"],
  ["t", "theme: as the system, light, dark"],
  ["?", "this list"],
];

type Handler = (actions: KeyActions) => void;

const KEYS: Record<string, Handler> = {
  "/": (actions) => actions.search(),
  g: (actions) => actions.symbols(),
  t: (actions) => actions.theme(),
  c: (actions) => actions.panel(),
  s: (actions) => actions.slow(),
  d: (actions) => actions.details(),
  "?": (actions) => actions.help(),
  "[": (actions) => actions.interval(-1),
  "]": (actions) => actions.interval(1),
  1: (actions) => actions.rate(0),
  2: (actions) => actions.rate(1),
  3: (actions) => actions.rate(2),
  4: (actions) => actions.rate(3),
};

/** Only where the watchlist or nothing has the focus: buttons and scrollers have these themselves. */
const LIST_KEYS: Record<string, Handler> = {
  ArrowDown: (actions) => actions.move(1),
  ArrowUp: (actions) => actions.move(-1),
  PageDown: (actions) => actions.move("page-down"),
  PageUp: (actions) => actions.move("page-up"),
  Home: (actions) => actions.move("first"),
  End: (actions) => actions.move("last"),
  Enter: (actions) => actions.open(),
};

export function listen(actions: KeyActions): void {
  const list = byId("help-keys");
  for (const [keys, meaning] of HELP) {
    const group = make("div");
    const term = make("dt");
    for (const key of keys.split(" ")) term.append(make("kbd", "", key));
    group.append(term, make("dd", "", meaning));
    list.append(group);
  }
  addEventListener("keydown", (event) => {
    const handler = handlerOf(event);
    if (!handler) return;
    event.preventDefault();
    handler(actions);
  });
}

function handlerOf(event: KeyboardEvent): Handler | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return undefined;
  // A dialog has its own keys, a popover its own Escape.
  if (document.querySelector("dialog[open]")) return undefined;
  if (event.key === "Escape" && document.querySelector(":popover-open")) return undefined;
  const focus = document.activeElement;
  if (event.key === "Escape") return (actions) => actions.back();
  if (focus instanceof HTMLInputElement) {
    const isMove = event.key === "ArrowDown" || event.key === "ArrowUp";
    if (focus.id === "filter" && (isMove || event.key === "Enter")) return LIST_KEYS[event.key];
    return undefined;
  }
  const isInList = focus === null || focus === document.body || focus.id === "grid" || focus.id === "view";
  return KEYS[event.key] ?? (isInList ? LIST_KEYS[event.key] : undefined);
}
