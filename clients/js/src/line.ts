// What a link needs of a line to the service, be it a WebSocket or event streams.

import type { Request } from "./wire.js";

/** Why a line has ended. */
export interface Loss {
  /** As the service told it, or of the close frame. */
  readonly code?: number | undefined;
  readonly text: string;
  /** The service wants to be left alone for so long. */
  readonly retryAfterMs?: number | undefined;
}

export interface LineListener {
  /** Requests can be sent. */
  opened(encoding: string): void;
  /** A message came; `size` in bytes, of text in characters. */
  message(message: unknown, size: number): void;
  /** Told once, and not after `close`. */
  lost(loss: Loss): void;
}

export interface Line {
  readonly transport: "websocket" | "sse";
  /** Whether it was ever open. */
  readonly wasOpen: boolean;
  /** When the part of it that was silent for longest was last heard; undefined: it does not tell. */
  readonly heardAt: number | undefined;
  send(request: Request): void;
  /** Brings event streams in line with what is subscribed to. */
  sync(now: number): void;
  close(): void;
}
