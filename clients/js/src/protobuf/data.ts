// Data messages: what the numbers of streams stand for, and the items as JSON says them.

import type { Channel, Interval, TradingState } from "../types.js";
import type { WireBar, WireTrade } from "../wire.js";
import { decimal } from "./decimal.js";
import { add, type Integer, Reader, settle } from "./reader.js";
import { FIELDS, INTERVALS, SIDES, STATES } from "./words.js";

/** Beyond so many the oldest numbers are forgotten: each epoch of each stream has one of its own. */
const STREAMS_MAX = 200_000;

/** What the number of a stream stands for. */
interface Opening {
  readonly symbol: string;
  readonly epoch: number;
  readonly priceScale: number;
  readonly sizeScale: number;
  readonly volumeScale: number;
  readonly depth: number;
  readonly interval: Interval | undefined;
}
/** The opening that stands in a message itself. */
interface Opened extends Opening {
  readonly isSnapshot: boolean;
  readonly state: TradingState | undefined;
}

/** An item as it comes in: times and integers read, mantissas not yet text. */
class Item {
  number = 0;
  seq = 0;
  skipped = 0;
  opened: Opened | undefined = undefined;
}

const toNumber = (value: Integer): number => Number(value);

function readOpening(reader: Reader): Opened {
  const opened = {
    isSnapshot: false, symbol: "", epoch: 0, state: undefined as TradingState | undefined, priceScale: 0, sizeScale: 0,
    volumeScale: 0, depth: 0, interval: undefined as Interval | undefined,
  };
  const outer = reader.enter();
  while (reader.next()) {
    switch (reader.field) {
      case 1: opened.isSnapshot = reader.bool(); break;
      case 2: opened.symbol = reader.string(); break;
      case 3: opened.epoch = toNumber(reader.uint64()); break;
      case 4: opened.state = STATES[reader.uint32()]; break;
      case 5: opened.priceScale = reader.uint32(); break;
      case 6: opened.sizeScale = reader.uint32(); break;
      case 7: opened.volumeScale = reader.uint32(); break;
      case 8: opened.depth = reader.uint32(); break;
      case 9: opened.interval = INTERVALS[reader.uint32()]; break;
      default: reader.pass();
    }
  }
  reader.leave(outer);
  return opened;
}

/** What cannot be told apart from others, since its number was never told: some stream of the channel. */
export interface UnknownStream {
  readonly channel: Channel;
  readonly type: "unknown";
  readonly data: readonly [];
}

/** The data messages of one connection. */
export class DataReader {
  readonly #openings = new Map<number, Opening>();
  /** Of the ticker that is read: mantissas by field, and a bit for each that is there. */
  readonly #values: Integer[] = new Array<Integer>(FIELDS.length).fill(0);

  /** Reads a field that all items have. */
  #common(reader: Reader, item: Item): boolean {
    switch (reader.field) {
      case 1: item.number = reader.uint32(); return true;
      case 2: item.seq = toNumber(reader.uint64()); return true;
      case 3: item.skipped = toNumber(reader.sint64()); return true;
      case 18: item.opened = readOpening(reader); return true;
      default: return false;
    }
  }

  /** What the item is of; undefined: its number was never told. */
  #open(item: Item): Opening | undefined {
    const { opened } = item;
    if (opened === undefined) return this.#openings.get(item.number);
    this.#openings.set(item.number, opened);
    if (this.#openings.size > STREAMS_MAX) {
      for (const oldest of this.#openings.keys()) {
        this.#openings.delete(oldest);
        break;
      }
    }
    return opened;
  }

  /** The message around an item's own fields. */
  #message(channel: Channel, item: Item, write: (opening: Opening) => object): object {
    const opening = this.#open(item);
    if (opening === undefined) return { channel, type: "unknown", data: [] } satisfies UnknownStream;
    const { symbol, epoch, depth, interval } = opening;
    const isSnapshot = item.opened?.isSnapshot === true;
    const head = {
      symbol, epoch, seq: item.seq,
      ...(isSnapshot ? { state: item.opened?.state } : { prev: item.seq - 1 - item.skipped }),
      ...(channel === "book" ? { depth } : undefined),
      ...(channel === "bars" ? { interval } : undefined),
    };
    return { channel, type: isSnapshot ? "snapshot" : "update", data: [Object.assign(head, write(opening))] };
  }

  ticker(reader: Reader): object {
    const item = new Item();
    const values = this.#values;
    let present = 0;
    let emptied = 0;
    let tsEvent = 0;
    let delta = 0;
    let volumeHigh: Integer = 0;
    while (reader.next()) {
      const { field } = reader;
      if (this.#common(reader, item)) continue;
      if (field >= 6 && field <= 15) {
        values[field - 5] = field === 15 ? reader.uint64() : reader.int64();
        present |= 1 << (field - 5);
      } else if (field === 4) tsEvent = toNumber(reader.int64());
      else if (field === 5) delta = toNumber(reader.sint64());
      else if (field === 16) volumeHigh = reader.uint64();
      else if (field === 17) emptied = reader.uint32();
      else reader.pass();
    }
    if (volumeHigh !== 0) values[10] = settle((BigInt(volumeHigh) << 64n) | BigInt(values[10] ?? 0));
    return this.#message("ticker", item, ({ priceScale, sizeScale, volumeScale }) => {
      const own: Record<string, string | number | null> = {};
      for (let word = 1; word < FIELDS.length; word++) {
        const name = FIELDS[word] as string;
        if (emptied & (1 << (word - 1))) own[name] = null;
        else if (present & (1 << word)) {
          const isSize = word === 2 || word === 4 || word === 6;
          own[name] = decimal(values[word] ?? 0, word === 10 ? volumeScale : isSize ? sizeScale : priceScale);
        }
      }
      own["ts_event"] = tsEvent;
      own["ts_publish"] = tsEvent + delta;
      return own;
    });
  }

  book(reader: Reader): object {
    const item = new Item();
    const bids: Integer[] = [];
    const asks: Integer[] = [];
    let tsEvent = 0;
    let delta = 0;
    let checksum = 0;
    while (reader.next()) {
      if (this.#common(reader, item)) continue;
      switch (reader.field) {
        case 4: tsEvent = toNumber(reader.int64()); break;
        case 5: delta = toNumber(reader.sint64()); break;
        case 6: readLevels(reader, bids); break;
        case 7: readLevels(reader, asks); break;
        case 8: checksum = reader.fixed32(); break;
        default: reader.pass();
      }
    }
    return this.#message("book", item, ({ priceScale, sizeScale }) => ({
      bids: levels(bids, priceScale, sizeScale), asks: levels(asks, priceScale, sizeScale), checksum,
      ts_event: tsEvent, ts_publish: tsEvent + delta,
    }));
  }

  trades(reader: Reader): object {
    const item = new Item();
    const trades: RawTrade[] = [];
    let tsPublish = 0;
    while (reader.next()) {
      if (this.#common(reader, item)) continue;
      if (reader.field === 4) tsPublish = toNumber(reader.int64());
      else if (reader.field === 6) trades.push(readTrade(reader));
      else reader.pass();
    }
    return this.#message("trades", item, ({ priceScale, sizeScale }) => ({
      trades: trades.map((trade): WireTrade => ({
        seq: item.seq - trade.seqBack, id: String(trade.id), price: decimal(trade.price, priceScale),
        size: decimal(trade.size, sizeScale), side: SIDES[trade.side] ?? "buy", ts_event: tsPublish - trade.delta,
      })),
      ts_publish: tsPublish,
    }));
  }

  bars(reader: Reader): object {
    const item = new Item();
    const bars: RawBar[] = [];
    let tsPublish = 0;
    while (reader.next()) {
      if (this.#common(reader, item)) continue;
      if (reader.field === 4) tsPublish = toNumber(reader.int64());
      else if (reader.field === 6) bars.push(readBar(reader));
      else reader.pass();
    }
    return this.#message("bars", item, ({ priceScale, volumeScale }) => ({
      bars: bars.map(({ startS, prices, volume, trades, closed }): WireBar => {
        const [open, high, low, close] = prices.map((price) => decimal(price, priceScale)) as [string, string, string, string];
        return { start: startS * 1_000_000, open, high, low, close, volume: decimal(volume, volumeScale), trades, closed };
      }),
      ts_publish: tsPublish,
    }));
  }

  status(reader: Reader): object {
    let prev: number | undefined;
    const item = { symbol: "", epoch: 0, seq: 0, state: undefined as TradingState | undefined, ts_state: 0 };
    while (reader.next()) {
      switch (reader.field) {
        case 1: item.symbol = reader.string(); break;
        case 2: item.epoch = toNumber(reader.uint64()); break;
        case 3: item.seq = toNumber(reader.uint64()); break;
        case 4: prev = toNumber(reader.uint64()); break;
        case 5: item.state = STATES[reader.uint32()]; break;
        case 6: item.ts_state = toNumber(reader.int64()); break;
        default: reader.pass();
      }
    }
    if (prev === undefined) return { channel: "status", type: "snapshot", data: [item] };
    return { channel: "status", type: "update", data: [{ ...item, prev }] };
  }
}

function readLevels(reader: Reader, into: Integer[]): void {
  if (reader.type === 0) {
    into.push(reader.sint64());
    return;
  }
  const outer = reader.enter();
  while (reader.at < reader.end) into.push(reader.sint64());
  reader.leave(outer);
}

/** Price and size in turn; a price is told as its distance from the one before it. */
function levels(integers: readonly Integer[], priceScale: number, sizeScale: number): [string, string][] {
  const list: [string, string][] = [];
  let price: Integer = 0;
  for (let i = 0; i + 1 < integers.length; i += 2) {
    price = add(price, integers[i] ?? 0);
    const size = integers[i + 1] ?? 0;
    list.push([decimal(price, priceScale), size === 0 ? "0" : decimal(size, sizeScale)]);
  }
  return list;
}

interface RawTrade { seqBack: number; id: Integer; price: Integer; size: Integer; side: number; delta: number }

function readTrade(reader: Reader): RawTrade {
  const trade: RawTrade = { seqBack: 0, id: 0, price: 0, size: 0, side: 0, delta: 0 };
  const outer = reader.enter();
  while (reader.next()) {
    switch (reader.field) {
      case 1: trade.seqBack = toNumber(reader.uint64()); break;
      case 2: trade.id = reader.uint64(); break;
      case 3: trade.price = reader.int64(); break;
      case 4: trade.size = reader.int64(); break;
      case 5: trade.side = reader.uint32(); break;
      case 6: trade.delta = toNumber(reader.sint64()); break;
      default: reader.pass();
    }
  }
  reader.leave(outer);
  return trade;
}

interface RawBar { startS: number; prices: [Integer, Integer, Integer, Integer]; volume: Integer; trades: number; closed: boolean }

function readBar(reader: Reader): RawBar {
  const bar: RawBar = { startS: 0, prices: [0, 0, 0, 0], volume: 0, trades: 0, closed: false };
  let high: Integer = 0;
  const outer = reader.enter();
  while (reader.next()) {
    const { field } = reader;
    if (field >= 2 && field <= 5) bar.prices[field - 2] = reader.int64();
    else if (field === 1) bar.startS = toNumber(reader.int64());
    else if (field === 6) bar.volume = reader.uint64();
    else if (field === 7) high = reader.uint64();
    else if (field === 8) bar.trades = reader.uint32();
    else if (field === 9) bar.closed = reader.bool();
    else reader.pass();
  }
  reader.leave(outer);
  if (high !== 0) bar.volume = settle((BigInt(high) << 64n) | BigInt(bar.volume));
  return bar;
}
