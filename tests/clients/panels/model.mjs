// What a dashboard's JSON asks Prometheus, and the answers: series over time or the latest values,
// named by their legends. Nothing is drawn here.

const STEPS = 240;

/** Asks Prometheus' API; the answer's `data`, or an error in words. */
async function ask(base, path, fields) {
  const response = await fetch(`${base}/api/v1/${path}`, { method: "POST", body: new URLSearchParams(fields) });
  const answer = await response.json();
  if (answer.status !== "success") throw new Error(`${path}: ${answer.error}: ${fields.query}`);
  return answer.data;
}

/** An expression with Grafana's variables replaced by what they are when everything is chosen. */
function plain(expr, step) {
  return expr.replaceAll("$__rate_interval", `${Math.max(20, 4 * step)}s`).replaceAll("$instance", ".*").replaceAll("$venue", ".*");
}

/** `{{label}}` replaced, as Grafana does. */
function legend(format, labels) {
  if (format) return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "").trim();
  const { __name__: name = "", ...others } = labels;
  const list = Object.entries(others).map(([key, value]) => `${key}="${value}"`);
  return `${name}{${list.join(", ")}}`;
}

/** All series of a panel: `{ name, labels, points: [[seconds, value]] }`, one point where only the latest counts. */
export async function answers(base, panel, range) {
  const step = Math.max(1, Math.round((range.end - range.start) / STEPS));
  const all = [];
  for (const target of panel.targets ?? []) {
    const query = plain(target.expr, step);
    const data = target.instant
      ? await ask(base, "query", { query, time: range.end })
      : await ask(base, "query_range", { query, start: range.start, end: range.end, step });
    const found = data.result.map(({ metric, value, values }) => ({
      name: legend(target.legendFormat, metric), labels: metric, points: (values ?? [value]).map(([at, text]) => [at, Number(text)]),
    }));
    all.push(...found.sort((a, b) => a.name.localeCompare(b.name)));
  }
  return { series: all, step };
}

/** The moments of a dashboard's annotations: `{ at, color, name }`. */
export async function annotations(base, dashboard, range) {
  const moments = [];
  for (const one of dashboard.annotations.list) {
    const data = await ask(base, "query_range", { query: plain(one.expr, 1), ...range, step: 15 });
    for (const { values } of data.result) moments.push({ at: values[0][0], color: one.iconColor, name: one.name });
  }
  return moments;
}

/** The values of a dashboard's variables, for its head. */
export async function variables(base, dashboard) {
  const all = [];
  for (const variable of dashboard.templating.list) {
    if (variable.type !== "query") {
      all.push({ label: variable.label, text: "Prometheus" });
      continue;
    }
    const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(variable.query.query);
    const response = await fetch(`${base}/api/v1/label/${label}/values?${new URLSearchParams({ "match[]": selector })}`);
    const values = (await response.json()).data;
    all.push({ label: variable.label, text: variable.current.text, values });
  }
  return all;
}
