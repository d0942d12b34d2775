// The connection: its state in the header, its figures and switches in the panel.

import { ENCODINGS, RATES, type EncodingName, type Rate } from "./address.js";
import { now } from "./clock.js";
import { Choice, Line, byId, make, setText } from "./elements.js";
import { NOTHING, bytes, count, delay, duration, latency, rate } from "./format.js";
import { delayOf } from "./latency.js";
import type { LinkCopy } from "./messages.js";
import { every } from "./painter.js";
import type { SlowState } from "./slow.js";

const FIGURES_EVERY_MS = 1_000;
const COUNTDOWN_EVERY_MS = 250;
/** One point a second. */
const GRAPH_POINTS = 60;
const GRAPH_WIDTH = 180;
const GRAPH_HEIGHT = 34;

const FIGURES = [
  ["messages", "Messages a second"], ["bytes", "Payload a second"], ["received", "Received"],
  ["merged", "Merged updates"], ["mergedrate", "Merged a second"], ["owed", "Owed topics"],
  ["reconnects", "Reconnects"], ["resyncs", "Resyncs"], ["missed", "Missed trades"],
  ["rtt", "Round trip"], ["clock", "Clock offset"], ["up", "Live for"],
  ["transport", "Transport"], ["granted", "Granted"], ["session", "Session"],
] as const;

export interface PanelEvents {
  rate(rate: Rate): void;
  encoding(encoding: EncodingName): void;
  slow(isSlow: boolean): void;
  retry(): void;
}

/** A rate in the last minute. */
class Graph {
  readonly #line: Line;
  readonly #most: HTMLElement;
  readonly #points: number[] = [];

  constructor(parent: HTMLElement, name: string) {
    const figure = make("figure");
    const caption = make("figcaption", "", name);
    this.#most = make("span", "most");
    caption.append(this.#most);
    figure.append(caption);
    this.#line = new Line(figure, GRAPH_WIDTH, GRAPH_HEIGHT);
    parent.append(figure);
  }

  add(value: number): void {
    this.#points.push(Number.isFinite(value) ? Math.max(0, value) : 0);
    if (this.#points.length > GRAPH_POINTS) this.#points.shift();
    const most = Math.max(...this.#points);
    const first = GRAPH_POINTS - this.#points.length;
    this.#line.set(this.#points.map((point, index) => {
      const x = ((first + index) / (GRAPH_POINTS - 1)) * GRAPH_WIDTH;
      const y = GRAPH_HEIGHT - (most ? (point / most) * GRAPH_HEIGHT : 0);
      return `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    }).join(""));
    setText(this.#most, `peak ${rate(most)}/s`);
  }
}

export class Panel {
  readonly #rate: Choice<Rate>;
  readonly #encoding: Choice<EncodingName>;
  readonly #slow = byId("slow");
  readonly #values = new Map<string, HTMLElement>();
  readonly #messages: Graph;
  readonly #merged: Graph;
  #link: LinkCopy | undefined;
  #before: LinkCopy | undefined;
  /** Median delay of the watchlist's updates by the two clocks as they are, ms. */
  delay: () => number | null = () => null;

  constructor(events: PanelEvents) {
    this.#rate = new Choice(byId("rate"), RATES, (one) => (one === 0 ? "real time" : `${one}/s`), events.rate);
    this.#encoding = new Choice(byId("encoding"), ENCODINGS, (one) => (one === "json" ? "JSON" : "protobuf"), events.encoding);
    this.#slow.addEventListener("click", () => events.slow(this.#slow.ariaChecked !== "true"));
    byId("retry").addEventListener("click", events.retry);
    const figures = byId("figures");
    for (const [id, name] of FIGURES) {
      const [group, value] = [make("div"), make("dd", "", NOTHING)];
      value.id = `figure-${id}`;
      group.append(make("dt", "", name), value);
      figures.append(group);
      this.#values.set(id, value);
    }
    this.#messages = new Graph(byId("graphs"), "Messages");
    this.#merged = new Graph(byId("graphs"), "Merged updates");
    every(FIGURES_EVERY_MS, () => this.#drawFigures());
    every(COUNTDOWN_EVERY_MS, () => this.#drawDetail());
  }

  show(rate: Rate, encoding: EncodingName): void {
    this.#rate.press(rate);
    this.#encoding.press(encoding);
  }

  set isSlow(isSlow: boolean) {
    this.#slow.ariaChecked = String(isSlow);
    if (!isSlow) setText(byId("slow-note"), "reads all");
    document.body.classList.toggle("slow", isSlow);
  }

  take(link: LinkCopy): void {
    const { state } = link;
    this.#link = link;
    document.body.dataset.link = state;
    setText(byId("link-state"), state === "live" && link.goaway ? "live, service restarting" : state);
    byId("retry").hidden = state === "live" || state === "connecting";
    if (this.#slow.ariaChecked === "true") setText(byId("slow-note"), slowText(link.slow));
    this.#drawDetail();
  }

  /** Beside the state, not read aloud: what changes every second. */
  #drawDetail(): void {
    const link = this.#link;
    let text = "";
    if (link?.state === "reconnecting" && link.nextAttemptAt !== undefined) {
      const seconds = Math.max(0, Math.ceil((link.nextAttemptAt - now()) / 1_000));
      text = `in ${seconds} s${link.reason?.text ? ` · ${link.reason.text}` : ""}`;
    } else if (link?.state === "closed" && link.reason) {
      text = `${link.reason.code ?? ""} ${link.reason.text}`.trim();
    } else if (link?.state === "live") text = link.fault ?? "";
    const detail = byId("link-detail");
    setText(detail, text);
    detail.title = text;
  }

  #drawFigures(): void {
    const [link, before] = [this.#link, this.#before];
    // A worker that is blocked has nothing new to say: the figures of before stay.
    if (!link || link.at === before?.at) return;
    this.#before = link;
    const isLive = link.state === "live";
    const seconds = before ? (link.at - before.at) / 1_000 : 0;
    const per = (value: number, old: number | undefined) =>
      (seconds > 0 && old !== undefined && value >= old ? (value - old) / seconds : NaN);
    const messages = per(link.messages, before?.messages);
    const traffic = per(link.bytes, before?.bytes);
    const merged = per(link.stats?.mergedUpdates ?? 0, before?.stats?.mergedUpdates);
    this.#messages.add(messages);
    this.#merged.add(merged);
    setText(byId("meter-messages"), rate(messages));
    setText(byId("meter-bytes"), bytes(traffic));
    setText(byId("meter-merged"), count(link.stats?.mergedUpdates));
    setText(byId("meter-delay"), isLive ? delay(delayOf(this.delay(), link.offset)) : NOTHING);
    const values: Record<string, string> = {
      messages: rate(messages), bytes: bytes(traffic),
      received: `${count(link.messages)} · ${bytes(link.bytes)}`,
      merged: count(link.stats?.mergedUpdates), mergedrate: rate(merged), owed: count(link.stats?.owedTopics),
      reconnects: count(link.reconnects), resyncs: count(link.resyncs), missed: count(link.missedTrades),
      rtt: link.rttUs === undefined ? NOTHING : latency(link.rttUs / 1_000),
      clock: link.offset ? latency(link.offset.ms) : NOTHING,
      up: isLive ? duration(now() - link.since) : NOTHING,
      transport: `${link.transport}, ${link.encoding}`,
      granted: link.granted ? grantedText(link.granted) : NOTHING,
      session: `${link.session ?? NOTHING} · ${link.version ?? NOTHING}`,
    };
    for (const [id, element] of this.#values) setText(element, values[id] ?? NOTHING);
    const session = this.#values.get("session");
    if (session && session.title !== values.session) session.title = values.session ?? "";
  }
}

function slowText(slow: SlowState | null): string {
  if (!slow) return "waits for the connection";
  const { speed, traffic } = slow;
  return speed === null || traffic === null ? "measures what comes" : `reads ${bytes(speed)} of ${bytes(traffic)}/s`;
}

const grantedText = ({ maxRate, matched }: { readonly maxRate?: number | undefined; readonly matched: number }) =>
  `${count(matched)} at ${maxRate === undefined ? "real time" : `${maxRate}/s`}`;
