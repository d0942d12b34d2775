// What is known of the connection: the object that applications read, and who is told when it changes.

import { now } from "./clock.js";
import type { Writable } from "./stream.js";
import type { ConnectionInfo, ConnectionState } from "./types.js";

export type Connection = Writable<ConnectionInfo>;

export const newConnection = (): Connection => ({
  state: "connecting", transport: "websocket", encoding: "json", session: undefined, version: undefined, since: now(),
  attempt: 0, nextAttemptAt: undefined, reason: undefined, reconnects: 0, resyncs: 0, checksumFailures: 0,
  missedTrades: 0, messages: 0, bytes: 0, lastMessageAt: undefined, goaway: undefined, heartbeatMs: undefined,
  clockOffsetUs: undefined, rttUs: undefined,
});

export function enter(connection: Connection, state: ConnectionState): void {
  if (connection.state === state) return;
  connection.state = state;
  connection.since = now();
}
