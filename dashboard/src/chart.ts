// The bars of the instrument that is looked at, drawn by lightweight-charts, the last one live.
// The library draws with floats; what can be read as text beside it has the service's own digits.

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, createChart,
  type CandlestickData, type HistogramData, type IChartApi, type ISeriesApi, type MouseEventParams, type UTCTimestamp,
} from "lightweight-charts";
import type { Bar } from "tickcast";
import { byId, setText } from "./elements.js";
import { shortVolume } from "./format.js";
import type { BarsCopy } from "./messages.js";
import { PACE_MS, paced } from "./painter.js";

/** Bars that are kept for the legend, as many as the worker keeps. */
const BARS_MAX = 1_000;
const SECONDS_SHOWN_BELOW_S = 60;
const INTERVAL_S = { "1s": 1, "1m": 60, "5m": 300, "1h": 3_600 } as const;

const seconds = ({ start }: Bar) => (start / 1_000_000) as UTCTimestamp;
const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function candle(bar: Bar): CandlestickData<UTCTimestamp> {
  return {
    time: seconds(bar),
    open: Number(bar.open), high: Number(bar.high), low: Number(bar.low), close: Number(bar.close),
  };
}

export class BarChart {
  readonly #chart: IChartApi;
  readonly #prices: ISeriesApi<"Candlestick">;
  readonly #volumes: ISeriesApi<"Histogram">;
  readonly #bars = new Map<number, Bar>();
  /** Starts of the bars that are not drawn as they are now. */
  readonly #changed = new Set<number>();
  /** The library draws all of its canvas for any bar that changes. */
  readonly #askChanged = paced(PACE_MS.chart, () => this.#drawChanged());
  #newest = -Infinity;
  #hovered: number | null = null;
  #volumeColors: [up: string, down: string] = ["", ""];

  constructor() {
    const host = byId("chart");
    this.#chart = createChart(host, {
      autoSize: true,
      layout: {
        // Its logo comes with a style sheet of its own, which the content policy refuses; the
        // attribution stands below the chart.
        attributionLogo: false,
        background: { type: ColorType.Solid, color: "transparent" },
        fontSize: 11,
        fontFamily: getComputedStyle(document.body).fontFamily,
      },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.24 } },
      timeScale: { borderVisible: false, rightOffset: 4, barSpacing: 7, timeVisible: true },
      localization: { locale: "en-GB" },
    });
    this.#prices = this.#chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.#chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#chart.subscribeCrosshairMove((event) => this.#hover(event));
    this.paint();
  }

  /** Takes the colours of the theme. */
  paint(): void {
    const [up, down] = [color("--up"), color("--down")];
    this.#volumeColors = [color("--up-bar"), color("--down-bar")];
    this.#chart.applyOptions({
      layout: { textColor: color("--quiet") },
      grid: { vertLines: { color: color("--grid") }, horzLines: { color: color("--grid") } },
      crosshair: {
        vertLine: { color: color("--quiet"), labelBackgroundColor: color("--label") },
        horzLine: { color: color("--quiet"), labelBackgroundColor: color("--label") },
      },
    });
    this.#prices.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.#setAll();
  }

  /** Empties it for another instrument or interval. */
  clear(): void {
    this.#bars.clear();
    this.#newest = -Infinity;
    this.#hovered = null;
    this.#setAll();
    setText(byId("chart-legend"), "");
  }

  take({ isReset, bars, interval }: BarsCopy): void {
    if (isReset) this.#bars.clear();
    const isFirst = this.#newest === -Infinity;
    // The library takes an older bar again, but none that it does not know.
    const isGap = bars.some(({ start }) => start < this.#newest && !this.#bars.has(start));
    for (const bar of bars) this.#bars.set(bar.start, bar);
    while (this.#bars.size > BARS_MAX) this.#bars.delete(this.#bars.keys().next().value!);
    if (isFirst && bars.length) this.#fit(bars.at(-1)!, interval);
    if (isReset || isGap || isFirst) {
      for (const bar of bars) this.#newest = Math.max(this.#newest, bar.start);
      this.#setAll();
      this.#legend();
    } else {
      for (const { start } of bars) this.#changed.add(start);
      this.#askChanged();
    }
  }

  #drawChanged(): void {
    const known = [...this.#changed].sort((a, b) => a - b).map((start) => this.#bars.get(start));
    this.#changed.clear();
    for (const bar of known) {
      if (bar === undefined) continue; // as many have come after it as are kept
      this.#update(bar);
      this.#newest = Math.max(this.#newest, bar.start);
    }
    this.#legend();
  }

  #fit(bar: Bar, interval: BarsCopy["interval"]): void {
    const decimals = bar.close.split(".")[1]?.length ?? 0;
    this.#prices.applyOptions({ priceFormat: { type: "price", precision: decimals, minMove: 10 ** -decimals } });
    const length = INTERVAL_S[interval];
    this.#chart.applyOptions({ timeScale: { secondsVisible: length < SECONDS_SHOWN_BELOW_S } });
    this.#chart.timeScale().resetTimeScale();
  }

  #volume(bar: Bar): HistogramData<UTCTimestamp> {
    const isUp = Number(bar.close) >= Number(bar.open);
    return { time: seconds(bar), value: Number(bar.volume), color: this.#volumeColors[isUp ? 0 : 1] };
  }

  #update(bar: Bar): void {
    // A late trade sends an older bar again.
    const isOlder = bar.start < this.#newest;
    this.#prices.update(candle(bar), isOlder);
    this.#volumes.update(this.#volume(bar), isOlder);
  }

  #setAll(): void {
    this.#changed.clear();
    const bars = [...this.#bars.values()].sort((a, b) => a.start - b.start);
    this.#prices.setData(bars.map(candle));
    this.#volumes.setData(bars.map((bar) => this.#volume(bar)));
  }

  #hover({ time }: MouseEventParams): void {
    this.#hovered = typeof time === "number" ? time * 1_000_000 : null;
    this.#legend();
  }

  #legend(): void {
    const bar = this.#bars.get(this.#hovered ?? this.#newest);
    setText(byId("chart-legend"), bar
      ? `O ${bar.open}  H ${bar.high}  L ${bar.low}  C ${bar.close}  V ${shortVolume(bar.volume)}  ${bar.trades} trades` : "");
    const newest = this.#bars.get(this.#newest);
    const said = newest ? `Bars: ${this.#bars.size}, the newest closes at ${newest.close}` : "Bars: none yet";
    byId("chart").setAttribute("aria-label", said);
  }
}
