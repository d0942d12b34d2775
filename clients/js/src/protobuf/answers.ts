// Answers to requests, and what the service says of itself.

import type { Channel } from "../types.js";
import type { Integer, Reader } from "./reader.js";
import { CHANNELS, FIELDS, INTERVALS, METHODS } from "./words.js";

type Fields = Record<string, unknown>;

/** Reads a message whose fields are read one by one. */
function read<T>(reader: Reader, into: T, field: (into: T, field: number) => boolean): T {
  const outer = reader.enter();
  while (reader.next()) if (!field(into, reader.field)) reader.pass();
  reader.leave(outer);
  return into;
}

const readLimits = (reader: Reader): Fields => read(reader, {} as Fields, (limits, field) => {
  const name = [undefined, "subscriptions", "instruments", "message_bytes"][field];
  if (name !== undefined) limits[name] = Number(reader.uint64());
  return name !== undefined;
});

export function readWelcome(reader: Reader): object {
  const welcome: Fields = { session: "", version: "", heartbeat_ms: 0, auth_required: false, limits: {} };
  while (reader.next()) {
    switch (reader.field) {
      case 1: welcome["session"] = reader.string(); break;
      case 2: welcome["version"] = reader.string(); break;
      case 3: welcome["heartbeat_ms"] = Number(reader.uint64()); break;
      case 4: welcome["auth_required"] = reader.bool(); break;
      case 5: welcome["limits"] = readLimits(reader); break;
      default: reader.pass();
    }
  }
  return { channel: "system", type: "welcome", data: [welcome] };
}

export function readGoaway(reader: Reader): object {
  const goaway = { reconnect_after_ms: 0, reason: "" };
  while (reader.next()) {
    if (reader.field === 1) goaway.reconnect_after_ms = Number(reader.uint64());
    else if (reader.field === 2) goaway.reason = reader.string();
    else reader.pass();
  }
  return { channel: "system", type: "goaway", data: [goaway] };
}

export function readHeartbeat(reader: Reader): object {
  let tsPublish = 0;
  while (reader.next()) {
    if (reader.field === 1) tsPublish = Number(reader.int64());
    else reader.pass();
  }
  return { channel: "heartbeat", ts_publish: tsPublish };
}

const readReqId = (reader: Reader): Integer | string | undefined => read(reader, { id: undefined as Integer | string | undefined }, (into, field) => {
  if (field === 1) {
    const id = reader.int64();
    into.id = typeof id === "bigint" ? Number(id) : id; // As JSON.parse reads it.
  } else if (field === 2) into.id = reader.string();
  return field === 1 || field === 2;
}).id;

function readGranted(reader: Reader): Fields {
  const symbol: string[] = [];
  const globs: object[] = [];
  const failed: object[] = [];
  const fields: string[] = [];
  const granted: Fields = { channel: undefined as Channel | undefined, symbol, globs, failed };
  const addField = (word: number): void => {
    const name = FIELDS[word];
    if (name !== undefined) fields.push(name);
  };
  read(reader, granted, (into, field) => {
    switch (field) {
      case 1: into["channel"] = CHANNELS[reader.uint32()]; return true;
      case 2: symbol.push(reader.string()); return true;
      case 3: globs.push(read(reader, { pattern: "", matched: 0 }, (glob, part) => {
        if (part === 1) glob.pattern = reader.string();
        else if (part === 2) glob.matched = Number(reader.uint64());
        return part === 1 || part === 2;
      })); return true;
      case 4: failed.push(read(reader, { symbol: "", code: 0, error: "" }, (failure, part) => {
        if (part === 1) failure.symbol = reader.string();
        else if (part === 2) failure.code = reader.uint32();
        else if (part === 3) failure.error = reader.string();
        return part >= 1 && part <= 3;
      })); return true;
      case 5: into["max_rate"] = reader.double(); return true;
      case 6: {
        if (reader.type === 0) addField(reader.uint32());
        else {
          const outer = reader.enter();
          while (reader.at < reader.end) addField(reader.uint32());
          reader.leave(outer);
        }
        return true;
      }
      case 7: into["depth"] = reader.uint32(); return true;
      case 8: into["interval"] = INTERVALS[reader.uint32()]; return true;
      default: return false;
    }
  });
  if (fields.length > 0) granted["fields"] = fields;
  return granted;
}

const readAuthenticated = (reader: Reader): Fields =>
  read(reader, { sub: "", expires: 0, limits: {} } as Fields, (into, field) => {
    if (field === 1) into["sub"] = reader.string();
    else if (field === 2) into["expires"] = Number(reader.int64());
    else if (field === 3) into["limits"] = readLimits(reader);
    return field >= 1 && field <= 3;
  });

const STATS = [
  undefined, "subscriptions", "instruments", "sent_messages", "sent_bytes", "merged_updates", "lagging", "owed_topics",
  "rtt_us", "connected_us",
] as const;

const readStats = (reader: Reader): Fields => {
  const stats: Fields = {
    subscriptions: 0, instruments: 0, sent_messages: 0, sent_bytes: 0, merged_updates: 0, lagging: false, owed_topics: 0,
    connected_us: 0,
  };
  return read(reader, stats, (into, field) => {
    const name = STATS[field];
    if (name !== undefined) into[name] = name === "lagging" ? reader.bool() : Number(reader.uint64());
    return name !== undefined;
  });
};

export function readAnswer(reader: Reader): object {
  const answer: Fields = {};
  while (reader.next()) {
    switch (reader.field) {
      case 1: answer["req_id"] = readReqId(reader); break;
      case 2: answer["method"] = METHODS[reader.uint32()]; break;
      case 3: answer["result"] = readGranted(reader); break;
      case 4: answer["result"] = readAuthenticated(reader); break;
      case 5: answer["ts_publish"] = Number(reader.int64()); break;
      case 6: answer["result"] = readStats(reader); break;
      case 7: read(reader, answer, (into, field) => {
        if (field === 1) into["code"] = reader.uint32();
        else if (field === 2) into["error"] = reader.string();
        return field === 1 || field === 2;
      });
        answer["success"] = false;
        break;
      default: reader.pass();
    }
  }
  if (answer["ts_publish"] !== undefined) answer["method"] = "pong";
  else if (answer["result"] !== undefined) answer["success"] = true;
  return answer;
}
