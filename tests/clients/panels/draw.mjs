// Draws the panels of a dashboard as HTML and SVG text: stat, gauge, table, time series, state
// timeline and heatmap, as Grafana's look and as their own JSON says.

import { format, mapped, named, palette, threshold } from "./units.mjs";

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const last = (series) => series.points.findLast(([, value]) => !Number.isNaN(value))?.[1] ?? NaN;
const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);

/** The inside of a panel of that many pixels. */
export function draw(panel, answer, range, moments, width, height) {
  const drawn = { stat, gauge, table, timeseries, heatmap, "state-timeline": timeline }[panel.type];
  if (!drawn) throw new Error(`${panel.title}: panels of type ${panel.type} are not drawn`);
  return drawn(panel, answer, { range, moments, width, height });
}

const nothing = (text = "No data") => `<div class="nothing">${escape(text)}</div>`;

function stat(panel, { series }, { width, height }) {
  const field = panel.fieldConfig.defaults;
  const isFilled = panel.options.colorMode === "background";
  const shown = series.filter((one) => !Number.isNaN(last(one)));
  if (shown.length === 0) return `<div class="stat calm"><b>${escape(field.noValue ?? "No data")}</b></div>`;
  const across = width / shown.length > 90 || height < 60 * shown.length;
  const size = Math.min(34, (across ? width / shown.length : width) / 5, (across ? height : height / shown.length) / 2.4);
  const cells = shown.map((one) => {
    const value = last(one);
    const word = mapped(field, value);
    const color = word?.color ?? threshold(field.thresholds, value);
    const name = panel.options.textMode === "value_and_name" || shown.length > 1 ? `<i>${escape(one.name)}</i>` : "";
    const style = isFilled ? `background:linear-gradient(120deg, color-mix(in srgb, ${color} 70%, black), color-mix(in srgb, ${color} 88%, black))` : `color:${color}`;
    return `<div class="cell" style="${style}">${name}<b style="font-size:${size}px">${escape(word?.text ?? format(value, field.unit, field.decimals))}</b></div>`;
  });
  return `<div class="stat" style="flex-direction:${across ? "row" : "column"}">${cells.join("")}</div>`;
}

function gauge(panel, { series }, { width, height }) {
  const field = panel.fieldConfig.defaults;
  if (series.length === 0) return nothing();
  const each = width / series.length;
  const radius = Math.min(each / 2 - 12, height - 40);
  const arc = (share, r) => {
    const angle = Math.PI * (1 - Math.min(1, Math.max(0, share)));
    return `M ${each / 2 - r} ${height - 24} A ${r} ${r} 0 0 1 ${each / 2 + r * Math.cos(angle)} ${height - 24 - r * Math.sin(angle)}`;
  };
  return series.map((one) => {
    const value = last(one);
    const color = threshold(field.thresholds, value);
    const path = (share, stroke) => `<path d="${arc(share, radius)}" fill="none" stroke="${stroke}" stroke-width="16"/>`;
    return `<svg width="${each}" height="${height}">${path(1, "#2c3235")}${path(value / field.max, color)}
      <text x="${each / 2}" y="${height - 30}" class="big" fill="${color}">${escape(format(value, field.unit, field.decimals))}</text>
      <text x="${each / 2}" y="${height - 6}" class="middle">${escape(one.name)}</text></svg>`;
  }).join("");
}

function table(panel, { series }) {
  const { renameByName: names } = panel.transformations[0].options;
  if (series.length === 0) return nothing();
  const head = Object.values(names).map((name) => `<th>${escape(name)}</th>`).join("");
  const unit = panel.fieldConfig.defaults.unit;
  const rows = series.map((one) => {
    const cell = (key) => (key === "Value" ? format(last(one), unit) : one.labels[key] ?? "");
    return `<tr>${Object.keys(names).map((key) => `<td>${escape(cell(key))}</td>`).join("")}</tr>`;
  });
  return `<table><thead><tr>${head}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

/** A plot's frame: where time and value lie, axes, annotations. */
function frame({ range, moments, width, height }, top, unit, left = 82) {
  const [right, bottom] = [width - 10, height - 20];
  const x = (at) => left + ((at - range.start) / (range.end - range.start)) * (right - left);
  const y = (value) => bottom - (value / top) * (bottom - 8);
  let grid = "";
  for (let part = 0; part <= 4; part += 1) {
    const value = (top * part) / 4;
    grid += `<line x1="${left}" x2="${right}" y1="${y(value)}" y2="${y(value)}" class="grid"/>`;
    if (unit !== null) grid += `<text x="${left - 6}" y="${y(value) + 4}" class="end">${escape(format(value, unit))}</text>`;
  }
  const times = Math.max(2, Math.floor(width / 130));
  for (let part = 0; part < times; part += 1) {
    const at = range.start + ((range.end - range.start) * (part + 0.5)) / times;
    grid += `<line x1="${x(at)}" x2="${x(at)}" y1="8" y2="${bottom}" class="grid"/><text x="${x(at)}" y="${height - 4}" class="middle">${clock(at)}</text>`;
  }
  const marks = moments.map(({ at, color }) => `<line x1="${x(at)}" x2="${x(at)}" y1="8" y2="${bottom}" stroke="${named(color)}" stroke-dasharray="4 3"/>`);
  return { x, y, left, right, bottom, grid: grid + marks.join("") };
}

/** The smallest of 1, 2, 4, 5 and their multiples by ten that is not smaller. */
function round(value) {
  if (!(value > 0)) return 1;
  const ten = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((times) => times * ten).find((top) => top >= value * 0.999);
}

function path(points, step, to) {
  let text = "";
  let before = -Infinity;
  for (const [at, value] of points) {
    if (Number.isNaN(value)) continue;
    text += `${at - before > 3 * step ? "M" : "L"}${to(at, value)}`;
    before = at;
  }
  return text;
}

/** Each series upon those before it. */
function stacked(series) {
  const heights = new Map();
  return series.map((one) => ({ ...one, points: one.points.map(([at, value]) => {
    const below = heights.get(at) ?? 0;
    heights.set(at, below + (value || 0));
    return [at, below + (value || 0), below];
  }) }));
}

function timeseries(panel, { series, step }, place) {
  if (series.length === 0) return nothing();
  const field = panel.fieldConfig.defaults;
  const isStacked = Boolean(field.custom.stacking);
  const shown = isStacked ? stacked(series) : series;
  const rows = Math.min(series.length, place.height > 300 ? 9 : place.height > 250 ? 6 : 4);
  const legend = legendTable(panel, series, field, rows);
  const inner = { ...place, height: place.height - 22 - rows * 17 };
  const values = shown.flatMap((one) => one.points.map(([, value]) => value)).filter(Number.isFinite);
  const plot = frame(inner, field.max ?? round(Math.max(0, ...values)), field.unit);
  const to = (at, value) => `${plot.x(at).toFixed(1)},${plot.y(value).toFixed(1)}`;
  const lines = shown.map((one, at) => {
    const line = path(one.points, step, to);
    const floor = one.points.toReversed().map(([when, , below]) => [when, below ?? 0]);
    const area = field.custom.fillOpacity && one.points.length > 1
      ? `<path d="M${[...one.points, ...floor].map(([when, value]) => to(when, value || 0)).join("L")}Z" fill="${palette(at)}" opacity="${field.custom.fillOpacity / 100}"/>` : "";
    return `${area}<path d="${line.replace(/^L/, "M")}" fill="none" stroke="${palette(at)}" stroke-width="1.3"/>`;
  });
  const limits = field.custom.thresholdsStyle ? field.thresholds.steps.filter(({ value }) => value !== null && plot.y(value) >= 8) : [];
  const marks = limits.map(({ value, color }) => `<line x1="${plot.left}" x2="${plot.right}" y1="${plot.y(value)}" y2="${plot.y(value)}" stroke="${named(color)}" opacity="0.8"/>`);
  return `<svg width="${inner.width}" height="${inner.height}">${plot.grid}${lines.join("")}${marks.join("")}</svg>${legend}`;
}

/** Of the values of a series; NaN where it has none. */
function greatest(one) {
  const values = one.points.map(([, value]) => value).filter(Number.isFinite);
  return values.length > 0 ? Math.max(...values) : NaN;
}

function legendTable(panel, series, field, rows) {
  const calcs = { lastNotNull: last, max: greatest };
  const names = { lastNotNull: "Last", max: "Max" };
  const { calcs: wanted } = panel.options.legend;
  const head = `<tr><th>Name</th>${wanted.map((calc) => `<th>${names[calc]}</th>`).join("")}</tr>`;
  const body = series.slice(0, rows).map((one, at) => `<tr><td><u style="background:${palette(at)}"></u>${escape(one.name || "Value")}</td>${
    wanted.map((calc) => `<td class="number">${escape(format(calcs[calc](one), field.unit, field.decimals))}</td>`).join("")}</tr>`);
  return `<table class="legend">${head}${body.join("")}</table>`;
}

function timeline(panel, { series, step }, place) {
  if (series.length === 0) return nothing();
  const field = panel.fieldConfig.defaults;
  const left = Math.min(150, 20 + 6.5 * Math.max(...series.map((one) => one.name.length)));
  const inner = { ...place, height: place.height - 22 };
  const plot = frame(inner, 1, null, left);
  const row = (plot.bottom - 8) / series.length;
  const bars = series.map((one, at) => {
    const top = 8 + at * row + row * 0.1;
    const runs = [];
    for (const [when, value] of one.points) {
      const run = runs.at(-1);
      if (run && run.value === value) run.end = when + step;
      else runs.push({ value, start: when, end: when + step });
    }
    const name = `<text x="${left - 6}" y="${top + row * 0.4 + 4}" class="end">${escape(one.name)}</text>`;
    return name + runs.map(({ value, start, end }) => {
      const { text = format(value, field.unit), color = "#5794f2" } = mapped(field, value) ?? {};
      const [from, to] = [plot.x(start), Math.min(plot.right, plot.x(end))];
      const word = to - from > 40 ? `<text x="${from + 6}" y="${top + row * 0.4 + 4}" class="on">${escape(text)}</text>` : "";
      return `<rect x="${from}" y="${top}" width="${Math.max(1, to - from)}" height="${row * 0.8}" fill="${color}" opacity="0.8"/>${word}`;
    }).join("");
  });
  const words = Object.values(field.mappings[0].options).map(({ text, color }) => `<u style="background:${named(color)}"></u>${escape(text)}`);
  return `<svg width="${inner.width}" height="${inner.height}">${plot.grid}${bars.join("")}</svg><div class="words">${words.join(" &nbsp; ")}</div>`;
}

function heatmap(panel, { series, step }, place) {
  const rows = series.map((one) => ({ ...one, top: Number(one.labels.le.replace("+Inf", "Infinity")) })).sort((a, b) => a.top - b.top);
  if (rows.length === 0) return nothing();
  const plot = frame(place, 1, null);
  const height = (plot.bottom - 8) / rows.length;
  // Buckets count what is below their bound: each row is the difference to the one below.
  const cells = rows.flatMap((one, at) => {
    const below = new Map(at > 0 ? rows[at - 1].points : []);
    return one.points.map(([when, value]) => ({ at, when, count: Math.max(0, value - (below.get(when) ?? 0)) }));
  }).filter(({ count }) => count > 1e-9);
  const most = Math.max(1e-9, ...cells.map(({ count }) => count));
  const drawn = cells.map(({ at, when, count }) => {
    const hue = 250 - 250 * (count / most) ** 0.5;
    return `<rect x="${plot.x(when)}" y="${plot.bottom - (at + 1) * height}" width="${Math.max(1, plot.x(when + step) - plot.x(when) - 0.5)}" height="${Math.max(1, height - 1)}" fill="hsl(${hue} 90% 50%)"/>`;
  });
  const every = Math.ceil(14 / height);
  const names = rows.map((one, at) => (at % every ? "" : `<text x="${plot.left - 6}" y="${plot.bottom - at * height - height / 2 + 4}" class="end">${escape(format(one.top, panel.options.yAxis.unit))}</text>`));
  return `<svg width="${place.width}" height="${place.height}">${plot.grid}${drawn.join("")}${names.join("")}</svg>`;
}
