// What must compile, and what must not: checked by `npm run typecheck`, never run.

import { connect, now, TickcastError } from "tickcast";
import type { Bar, Book, ConnectionInfo, Level, Subscription, Tickcast, Ticker, Trade } from "tickcast";
import { protobuf } from "tickcast/protobuf";
import { useBars, useBook, useTicker, useTickers } from "tickcast/react";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
const isSame = <A, B>(_: Equal<A, B>): void => {};

// The five lines.
const render = (symbol: string, last: string | null | undefined, state: string): void => void [symbol, last, state];
const tick: Tickcast = connect("ws://127.0.0.1:8080");
tick.ticker(["coinbase:BTC-USD"], { maxRate: 5 }, (t) => render(t.symbol, t.last, t.state));

const ticker = tick.ticker("sim:*", (t) => isSame<typeof t, Ticker>(true));
isSame<typeof ticker, Subscription<"ticker">>(true);
const book = tick.book("sim:*", { depth: 25 }, (b) => isSame<typeof b, Book>(true));
const level: Level | undefined = book.get("sim:S0-USD")?.bids[0];
const price: string | undefined = level?.[0];
tick.trades("sim:*", { snapshot: false, keep: 100 }, ({ fresh }) => isSame<typeof fresh, readonly Trade[]>(true));
const bars = tick.bars("sim:*", { interval: "1h" });
for await (const { bars: list } of bars) isSame<typeof list, readonly Bar[]>(true);
ticker.change({ maxRate: 1 });
ticker.on("failed", (symbol, { code, error }) => render(symbol, error, String(code)));
ticker.onFrame((changed) => [...changed].map(({ stale }) => stale));
const end: () => void = tick.on("connection", (info) => isSame<typeof info, ConnectionInfo>(true));
tick.on("error", (error) => (error instanceof TickcastError ? error.code : undefined));
const options = { token: async () => "t", encoding: protobuf, transport: "auto", backoffMs: { base: 50 } } as const;
connect("", options).close();
connect("wss://ticks.example", { WebSocket, signal: new AbortController().signal, verifyChecksums: true });
const received: number = now();
const shown: Ticker | undefined = useTicker("sim:S0-USD", { maxRate: 5 });
const all: ReadonlyMap<string, Ticker> = useTickers(["sim:*"]);
void [price, end, received, shown, all, useBook("a:B", { depth: 10 })?.asks, useBars(undefined)];

// @ts-expect-error: an option of another channel
tick.ticker("sim:*", { depth: 10 });
// @ts-expect-error: the option's name in the wire protocol
tick.ticker("sim:*", { max_rate: 5 });
// @ts-expect-error: a field that there is not
tick.ticker("sim:*", { fields: ["last_size"] });
// @ts-expect-error: a depth that there is not
tick.book("sim:*", { depth: 11 });
// @ts-expect-error: an interval that there is not
tick.bars("sim:*", { interval: "2m" });
// @ts-expect-error: prices are text
const number: number = ticker.get("sim:S0-USD")!.last;
// @ts-expect-error: a side may be empty
const text: string = ticker.get("sim:S0-USD")!.bid;
// @ts-expect-error: what is held is the SDK's
ticker.get("sim:S0-USD")!.last = "1";
// @ts-expect-error: neither are its lists the application's
book.get("sim:S0-USD")!.bids.push(["1", "1"]);
// @ts-expect-error: there may be none
ticker.get("sim:S0-USD").last;
// @ts-expect-error: an event that there is not
tick.on("update", () => {});
// @ts-expect-error: an encoding is json or a codec
connect("ws://a", { encoding: "protobuf" });
// @ts-expect-error: an address is text
connect(new URL("ws://a"));
// @ts-expect-error: hooks have the same options
useTicker("a:B", { depth: 10 });
void [number, text];
