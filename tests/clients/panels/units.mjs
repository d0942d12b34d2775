// Numbers with the units that the dashboards use, as Grafana writes them; colours of thresholds.

const SI = ["", " K", " Mil", " Bil", " Tri"];
const RATES = { mps: "msg/s", eps: "evt/s", cps: "c/s", reqps: "req/s", ops: "ops/s" };

/** So many digits behind the point that three are seen, or what the panel says. */
function digits(value, decimals) {
  if (decimals !== undefined) return value.toFixed(decimals);
  const size = Math.abs(value);
  const places = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(places)));
}

function scaled(value, base, names, decimals) {
  let at = 0;
  while (Math.abs(value) >= base && at < names.length - 1) {
    value /= base;
    at += 1;
  }
  return digits(value, at === 0 ? decimals : undefined) + names[at];
}

function seconds(value) {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-3) return `${digits(value * 1e6)} µs`;
  if (size < 1) return `${digits(value * 1e3)} ms`;
  if (size < 120) return `${digits(value)} s`;
  if (size < 7200) return `${digits(value / 60)} mins`;
  if (size < 172_800) return `${digits(value / 3600)} hours`;
  return size < 31_536_000 ? `${digits(value / 86_400)} days` : `${digits(value / 31_536_000)} years`;
}

/** A number as text. */
export function format(value, unit, decimals) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : "∞";
  if (unit === "s") return seconds(value);
  if (unit === "percentunit") return `${digits(value * 100, decimals)}%`;
  if (unit === "bytes") return scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"], decimals);
  if (unit === "Bps") return scaled(value, 1000, [" B/s", " kB/s", " MB/s", " GB/s"], decimals);
  if (unit in RATES) return `${scaled(value, 1000, SI, decimals)} ${RATES[unit]}`;
  if (unit?.startsWith("suffix:")) return digits(value, decimals) + unit.slice("suffix:".length);
  return scaled(value, 1000, SI, decimals);
}

const NAMED = { green: "#73bf69", yellow: "#fade2a", orange: "#ff9830", red: "#f2495c", blue: "#5794f2", purple: "#b877d9", text: "#ccccdc", transparent: "transparent" };
const PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a", "#447ebc", "#c15c17"];

export const named = (color) => NAMED[color] ?? color;

/** The colour of the nth series. */
export const palette = (at) => PALETTE[at % PALETTE.length];

/** The colour that a panel's thresholds give a value. */
export function threshold(thresholds, value) {
  const passed = (thresholds?.steps ?? []).filter((step) => step.value === null || value >= step.value);
  return named(passed.at(-1)?.color ?? "text");
}

/** The text and colour of a value that the panel maps to a word. */
export function mapped(field, value) {
  const found = field.mappings?.[0]?.options?.[String(value)];
  return found && { text: found.text, color: named(found.color) };
}
