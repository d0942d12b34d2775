// Requests, from their JSON to bytes.

import type { Request, SubscribeParams } from "../wire.js";
import { CHANNELS, FIELDS, INTERVALS } from "./words.js";
import { Writer } from "./writer.js";

/** The number of a word in its enum. */
function numberOf(words: readonly (string | undefined)[], word: string, what: string): number {
  const number = words.indexOf(word);
  if (number < 0) throw new TypeError(`${what}: "${word}" is not in the schema`);
  return number;
}

function writeSubscribe(writer: Writer, params: SubscribeParams): void {
  writer.integer(1, numberOf(CHANNELS, params.channel, "channel"));
  for (const symbol of params.symbol) writer.string(2, symbol);
  if (params.max_rate !== undefined) writer.double(3, params.max_rate);
  const { fields } = params;
  if (fields !== undefined && fields.length > 0) {
    writer.message(4, (list) => fields.forEach((field) => list.varint(numberOf(FIELDS, field, "fields"))));
  }
  if (params.depth !== undefined) writer.integer(5, params.depth);
  if (params.interval !== undefined) writer.integer(6, numberOf(INTERVALS, params.interval, "interval"));
  if (params.snapshot !== undefined) writer.integer(7, params.snapshot ? 1 : 0);
  for (const [symbol, since] of Object.entries(params.since ?? {})) {
    writer.message(8, (entry) => {
      entry.string(1, symbol);
      entry.message(2, (mark) => {
        if (since.epoch !== 0) mark.integer(1, since.epoch);
        if (since.seq !== 0) mark.integer(2, since.seq);
      });
    });
  }
}

export function writeRequest(request: Request): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  // The SDK always gives a number; the protocol allows a text, or none.
  const reqId: number | string | undefined = request.req_id;
  if (reqId !== undefined) {
    writer.message(1, (id) => (typeof reqId === "number" ? id.integer(1, reqId) : id.string(2, reqId)));
  }
  switch (request.method) {
    case "subscribe":
      writer.message(2, (inner) => writeSubscribe(inner, request.params));
      break;
    case "unsubscribe":
      writer.message(3, (inner) => {
        inner.integer(1, numberOf(CHANNELS, request.params.channel, "channel"));
        for (const symbol of request.params.symbol) inner.string(2, symbol);
        if (request.params.interval !== undefined) inner.integer(3, numberOf(INTERVALS, request.params.interval, "interval"));
      });
      break;
    case "auth": writer.message(4, (inner) => inner.string(1, request.params.token)); break;
    case "ping": writer.message(5, () => {}); break;
    case "stats": writer.message(6, () => {}); break;
  }
  return writer.finish();
}
