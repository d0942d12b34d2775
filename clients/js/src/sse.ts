// Event streams as a line: one request for each set of options, since a request is one `subscribe`.
//
// If one stream breaks the whole line has: all of them come back together, after one back-off.

import type { Address } from "./address.js";
import { EventStream, readRefusal } from "./event-stream.js";
import { NOT_AUTHENTICATED, textOf } from "./fault.js";
import type { Line, LineListener, Loss } from "./line.js";
import { isGlob, matches } from "./pattern.js";
import type { Placement } from "./placements.js";
import { gather } from "./requests.js";
import type { Session } from "./session.js";
import type { Answer, GrantedResult, SubscribeParams } from "./wire.js";

/** What names and token take in one request: the service reads heads of 8 KiB, and browsers add to them. */
const NAMES_BYTES_MAX = 5_500;
const NAMES_BYTES_MIN = 1_500;
/** Requests at the same time: browsers have six connections to a host over HTTP/1.1, and REST needs one. */
const STREAMS_MAX = "document" in globalThis ? 5 : 50;
const PROBE_WITHIN_MS = 5_000;

interface Open {
  readonly stream: EventStream;
  readonly placements: readonly Placement[];
  /** The service has said that it will close it. */
  isLeaving: boolean;
  heardAt: number;
}

function queryOf(params: SubscribeParams): string {
  const { symbol, since: _, ...options } = params;
  const names = symbol.map(encodeURIComponent).join(",").replaceAll("%3A", ":").replaceAll("%2F", "/");
  const rest = Object.entries(options).map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return [...rest, `symbol=${names}`].join("&");
}

/** Asks whether the service can be reached by HTTP; throws what `fetch` throws where it cannot. */
export const probe = (address: Address, token: string | undefined): Promise<Response> =>
  fetch(`${address.http}/v1/instruments?symbol=tickcast:probe`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(PROBE_WITHIN_MS), cache: "no-store",
  });

export class SseLine implements Line {
  readonly transport = "sse";
  wasOpen = false;
  #listener: LineListener | undefined;
  /** By query. */
  readonly #open = new Map<string, Open>();

  constructor(
    readonly address: Address, readonly token: string | undefined, readonly session: Session, listener: LineListener,
    readonly clock: () => number,
  ) {
    this.#listener = listener;
    void this.#begin();
  }

  async #begin(): Promise<void> {
    try {
      const response = await probe(this.address, this.token);
      if (!response.ok) {
        this.#lose(await readRefusal(response));
        return;
      }
      this.wasOpen = true;
      this.#listener?.opened("json");
    } catch (error) {
      this.#lose({ text: `HTTP: ${textOf(error)}` });
    }
  }

  get heardAt(): number {
    let heardAt = this.clock();
    for (const open of this.#open.values()) heardAt = Math.min(heardAt, open.heardAt);
    return heardAt;
  }

  send(): void {}

  sync(now: number): void {
    if (this.#listener === undefined || !this.wasOpen) return;
    const wanted = [...this.session.held.placements.all()].filter(({ phase }) => phase !== "failed");
    const namesBytesMax = Math.max(NAMES_BYTES_MIN, NAMES_BYTES_MAX - (this.token?.length ?? 0));
    const batches = new Map(gather(wanted, () => [], namesBytesMax)
      .map((batch) => [queryOf(batch.params()), batch.placements]));
    for (const [query, open] of this.#open) {
      if (batches.has(query) || open.isLeaving) continue;
      open.stream.close();
      this.#open.delete(query);
    }
    for (const placement of this.#dueAgain(now)) {
      for (const [query, open] of this.#open) {
        if (!open.placements.includes(placement)) continue;
        open.stream.close();
        this.#open.delete(query);
      }
    }
    for (const [query, placements] of batches) {
      if (this.#open.has(query)) continue;
      if (this.#open.size >= STREAMS_MAX) {
        const error = `more than ${STREAMS_MAX} sets of options at the same time over server-sent events`;
        this.session.refused(placements, { code: 4413, error }, now);
      } else {
        this.#request(query, placements, now);
      }
    }
  }

  /** The placements of streams that miss something; a request that begins anew begins with snapshots. */
  #dueAgain(now: number): Set<Placement> {
    const due = new Set<Placement>();
    for (const [stream, placement] of this.session.outbox.dueAgain(now)) {
      this.session.outbox.asked(stream, now);
      due.add(placement);
    }
    return due;
  }

  #request(query: string, placements: readonly Placement[], now: number): void {
    const headers: Record<string, string> = {};
    const url = `${this.address.http}/v1/sse?${query}`;
    if (this.token !== undefined) headers["authorization"] = `Bearer ${this.token}`;
    const resume = this.#resume(placements);
    if (resume !== undefined) headers["last-event-id"] = resume;
    this.session.opened(placements, now);
    const isMine = (): boolean => this.#open.get(query)?.stream === stream;
    const stream: EventStream = new EventStream(url, headers, {
      opened: () => {},
      message: (message, size) => isMine() && this.#message(query, message, size),
      refused: (loss) => isMine() && this.#refused(query, loss),
      lost: (loss) => isMine() && this.#ended(query, loss),
    });
    this.#open.set(query, { stream, placements, isLeaving: false, heardAt: now });
  }

  /** A request for one name may go on where it left off, unless something is missing. */
  #resume(placements: readonly Placement[]): string | undefined {
    const placement = placements[0];
    if (placements.length !== 1 || placement === undefined || placement.isGlob) return undefined;
    const stream = this.session.held.streams.get(placement.channel, placement.interval, placement.pattern);
    const since = stream === undefined || stream.missing ? undefined : this.session.outbox.claim(stream, placement);
    return since === undefined ? undefined : `${since.epoch}-${since.seq}`;
  }

  #message(query: string, message: unknown, size: number): void {
    const open = this.#open.get(query);
    if (open !== undefined) open.heardAt = this.clock();
    const { channel, type, method, success, code, error, result } = message as Answer & { channel?: string; type?: string };
    if (channel === undefined && success === false) {
      // The service says so before it ends the stream, as when a token has expired.
      this.#lose({ code, text: error ?? "refused" });
      return;
    }
    if (channel === "system" && type === "goaway" && open !== undefined) open.isLeaving = true;
    if (channel === undefined && method === "subscribe" && success === true) {
      const asked = open?.placements.filter(({ phase }) => phase === "asked") ?? [];
      if (asked.length > 0) this.session.granted(asked, result as GrantedResult, this.clock());
    }
    this.#listener?.message(message, size);
  }

  /** Some of what the request names is not served: it is left out from now on. */
  #refused(query: string, loss: Loss & { readonly status: number }): void {
    const open = this.#open.get(query);
    this.#open.delete(query);
    const code = loss.code ?? 4500;
    if (open === undefined || code >= 4500 || code === NOT_AUTHENTICATED) {
      this.#lose(loss);
      return;
    }
    const named = /"([^"]+)"/.exec(loss.text)?.[1];
    const meant = open.placements.filter(({ pattern }) => named !== undefined && !isGlob(pattern)
      && (pattern === named || matches(pattern, named)));
    this.session.refused(meant.length > 0 ? meant : open.placements, { code, error: loss.text }, this.clock());
    this.session.listener.wake();
  }

  #ended(query: string, loss: Loss): void {
    const open = this.#open.get(query);
    this.#open.delete(query);
    // Each stream has a delay of its own; the others are served until theirs has passed.
    if (open?.isLeaving === true && this.#open.size > 0) return;
    this.#lose(loss);
  }

  #lose(loss: Loss): void {
    const listener = this.#listener;
    this.close();
    listener?.lost(loss);
  }

  close(): void {
    this.#listener = undefined;
    for (const open of this.#open.values()) open.stream.close();
    this.#open.clear();
  }
}
