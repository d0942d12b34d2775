// One request for server-sent events, read by `fetch`, so that a token can go into a header and
// Node needs nothing else.

import { textOf } from "./fault.js";
import type { Loss } from "./line.js";
import { EventParser } from "./sse-parser.js";

export interface StreamListener {
  opened(): void;
  message(message: unknown, size: number): void;
  /** The service does not serve this request. Told once, as is `lost`. */
  refused(loss: Loss & { readonly status: number }): void;
  lost(loss: Loss): void;
}

/** What an answer of the service says when it refuses. */
export async function readRefusal(response: Response): Promise<Loss & { readonly status: number }> {
  const retryAfter = Number(response.headers.get("retry-after") ?? NaN);
  const retryAfterMs = Number.isFinite(retryAfter) ? retryAfter * 1000 : undefined;
  let code = response.status === 429 ? 4529 : 4000 + response.status;
  let text = `HTTP ${response.status}`;
  try {
    const body = (await response.json()) as { code?: unknown; error?: unknown };
    if (typeof body.code === "number") code = body.code;
    if (typeof body.error === "string") text = body.error;
  } catch {
    // Somebody else's answer, such as a proxy's: its status has to do.
  }
  return { status: response.status, code, text, retryAfterMs };
}

export class EventStream {
  readonly #abort = new AbortController();
  #listener: StreamListener | undefined;

  constructor(url: string, headers: Record<string, string>, listener: StreamListener) {
    this.#listener = listener;
    void this.#read(url, headers);
  }

  async #read(url: string, headers: Record<string, string>): Promise<void> {
    try {
      const response = await fetch(url, {
        headers: { accept: "text/event-stream", ...headers }, signal: this.#abort.signal, cache: "no-store",
      });
      if (!response.ok || response.body === null) {
        const refusal = await readRefusal(response);
        this.#end((listener) => listener.refused(refusal));
        return;
      }
      this.#listener?.opened();
      const parser = new EventParser(({ data }) => this.#listener?.message(JSON.parse(data), data.length));
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        parser.push(decoder.decode(value, { stream: true }));
      }
      this.#end((listener) => listener.lost({ text: "the event stream ended" }));
    } catch (error) {
      this.#end((listener) => listener.lost({ text: `the event stream broke: ${textOf(error)}` }));
    }
  }

  #end(tell: (listener: StreamListener) => void): void {
    const listener = this.#listener;
    this.close();
    if (listener !== undefined) tell(listener);
  }

  close(): void {
    this.#listener = undefined;
    this.#abort.abort();
  }
}
