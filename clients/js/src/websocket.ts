// A WebSocket as a line, and where its class comes from.

import { textOf } from "./fault.js";
import type { Line, LineListener } from "./line.js";
import type { Codec, CodecConnection, WebSocketConstructor, WebSocketLike } from "./types.js";
import type { Request } from "./wire.js";

const JSON_SUBPROTOCOL = "tickcast.v1.json";
const OPEN = 1;
/** The close code of somebody who has not said why. */
const NO_STATUS = 1005;

/** The class that was given, else the global one, else that of the package `ws` where it is installed. */
export async function findWebSocket(given: WebSocketConstructor | undefined): Promise<WebSocketConstructor | undefined> {
  if (given !== undefined) return given;
  const global = (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (global !== undefined) return global;
  try {
    // Not a literal, so that bundlers for browsers do not look for it.
    const name = "ws";
    const found = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as { WebSocket?: WebSocketConstructor };
    return found.WebSocket;
  } catch {
    return undefined;
  }
}

export class WebSocketLine implements Line {
  readonly transport = "websocket";
  wasOpen = false;
  readonly heardAt = undefined;
  readonly #socket: WebSocketLike;
  #listener: LineListener | undefined;
  /** Undefined where JSON was agreed on. */
  #codec: CodecConnection | undefined;

  /** @throws what the class throws for an address that it does not take. */
  constructor(Constructor: WebSocketConstructor, url: string, codec: Codec | undefined, listener: LineListener) {
    this.#listener = listener;
    // JSON is offered too, for a service that does not know the other one.
    const offered = codec === undefined ? [JSON_SUBPROTOCOL] : [codec.subprotocol, JSON_SUBPROTOCOL];
    const socket = new Constructor(url, offered);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.wasOpen = true;
      const agreed = codec !== undefined && socket.protocol === codec.subprotocol ? codec : undefined;
      this.#codec = agreed?.connection();
      this.#listener?.opened(agreed?.name ?? "json");
    };
    socket.onmessage = (event: { readonly data: unknown }) => this.#receive(event.data);
    socket.onclose = (event: { readonly code?: number; readonly reason?: string }) => {
      const code = event.code ?? NO_STATUS;
      const text = this.wasOpen ? `closed with ${code}${event.reason ? `: ${event.reason}` : ""}` : "the WebSocket did not open";
      this.#lose(text, this.wasOpen ? code : undefined);
    };
    // `close` follows and tells as much as there is to know.
    socket.onerror = () => {};
  }

  #receive(data: unknown): void {
    const listener = this.#listener;
    if (listener === undefined) return;
    let message: unknown;
    let size: number;
    try {
      if (typeof data === "string") {
        size = data.length;
        message = JSON.parse(data);
      } else {
        const bytes = new Uint8Array(data as ArrayBuffer);
        size = bytes.length;
        if (this.#codec === undefined) throw new TypeError("a binary message where text was agreed on");
        message = this.#codec.decode(bytes);
      }
    } catch (error) {
      this.#lose(`a message that cannot be read: ${textOf(error)}`);
      return;
    }
    listener.message(message, size);
  }

  send(request: Request): void {
    if (this.#socket.readyState !== OPEN) return; // Its end is on the way.
    this.#socket.send(this.#codec === undefined ? JSON.stringify(request) : this.#codec.encode(request));
  }

  sync(): void {}

  #lose(text: string, code?: number): void {
    const listener = this.#listener;
    this.close();
    listener?.lost({ code, text });
  }

  close(): void {
    this.#listener = undefined;
    // The class `ws` throws when it is closed while it connects without anybody who listens.
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
  }
}
