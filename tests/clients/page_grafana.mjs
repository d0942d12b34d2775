// Pictures of dashboards without Grafana: each dashboard's own JSON, filled with Prometheus' answers.
//
// usage: node page_grafana.mjs PROMETHEUS_URL SECONDS FOLDER DASHBOARD.json...
// expects: a Prometheus that has scraped for so many seconds; an existing folder. Writes NAME.png for
// each dashboard. Nothing is drawn that the JSON or the answers do not say.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { withBrowser } from "./chromium.mjs";
import { draw } from "./panels/draw.mjs";
import { annotations, answers, variables } from "./panels/model.mjs";

const DEADLINE_MS = 150_000;
/** Of Grafana: 24 columns, rows of 30 pixels and gaps of 8. */
const [WIDTH, COLUMNS, ROW, GAP] = [1600, 24, 30, 8];
const HEAD = 92;
const PADDING = 8;
const TITLE = 28;

const STYLE = `
  * { box-sizing: border-box; margin: 0 }
  body { background: #111217; color: #ccccdc; font: 12px/1.4 Inter, "DejaVu Sans", sans-serif; width: ${WIDTH}px }
  header { height: ${HEAD}px; padding: 12px 16px } h1 { font-size: 17px; font-weight: 500; margin-bottom: 10px }
  header span { background: #181b1f; border: 1px solid #34363d; border-radius: 2px; margin-right: 10px; padding: 5px 10px } header em { color: #6e9fff; font-style: normal }
  header .range { float: right; margin-top: -38px }
  section { background: #181b1f; border: 1px solid #24262c; border-radius: 2px; overflow: hidden; position: absolute }
  section h2 { font-size: 13px; font-weight: 500; height: ${TITLE}px; overflow: hidden; padding: 6px 8px; text-overflow: ellipsis; white-space: nowrap }
  section .inside { padding: 0 ${PADDING}px }
  .row { font-size: 15px; font-weight: 500; padding: 3px 8px; position: absolute }
  svg { display: block } svg text { fill: #9fa0ab; font-size: 11px } .end { text-anchor: end } .middle { text-anchor: middle }
  svg .on { fill: #111217; font-weight: 600 } svg .big { font-size: 26px; font-weight: 500; text-anchor: middle } .grid { stroke: #25272c }
  .stat { display: flex; gap: 4px; height: 100% } .cell { align-items: center; border-radius: 2px; color: white; display: flex; flex: 1; flex-direction: column; justify-content: center; min-width: 0 }
  .cell i, .stat i { font-style: normal; overflow: hidden; text-overflow: ellipsis } .cell b, .stat b { font-weight: 500; white-space: nowrap }
  .calm { align-items: center; justify-content: center } .calm b { color: #8e8e99; font-size: 18px }
  .nothing { color: #8e8e99; padding-top: 24px; text-align: center }
  table { border-collapse: collapse; width: 100% } th { color: #6e9fff; font-weight: 500; text-align: left } td, th { height: 17px; padding: 0 6px; white-space: nowrap }
  .legend th:not(:first-child), .number { text-align: right } .legend td:first-child { max-width: 0; overflow: hidden; text-overflow: ellipsis; width: 70% }
  table:not(.legend) td, table:not(.legend) th { border-bottom: 1px solid #24262c; height: 26px }
  u { border-radius: 2px; display: inline-block; height: 4px; margin-right: 6px; vertical-align: middle; width: 14px } .words { padding-left: 6px }`;

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

async function page(base, dashboard, range) {
  const moments = await annotations(base, dashboard, range);
  const column = (WIDTH - 32 + GAP) / COLUMNS;
  let height = 0;
  const panels = [];
  for (const panel of dashboard.panels) {
    const { x, y, w, h } = panel.gridPos;
    const [left, top] = [16 + x * column, HEAD + y * (ROW + GAP)];
    const [wide, high] = [w * column - GAP, h * (ROW + GAP) - GAP];
    height = Math.max(height, top + high);
    const box = `left:${left}px;top:${top}px;width:${wide}px;height:${high}px`;
    if (panel.type === "row") {
      panels.push(`<div class="row" style="${box}">⌄ ${escape(panel.title)}</div>`);
      continue;
    }
    const inside = high - TITLE - PADDING - 2;
    const drawn = draw(panel, await answers(base, panel, range), range, moments, wide - 2 * PADDING - 2, inside);
    panels.push(`<section style="${box}"><h2>${escape(panel.title)}</h2><div class="inside" style="height:${inside}px">${drawn}</div></section>`);
  }
  const chosen = (await variables(base, dashboard)).map(({ label, text }) => `<span><em>${escape(label)}</em> ${escape(text)}</span>`).join("");
  const minutes = Math.round((range.end - range.start) / 60);
  const span = minutes > 1 ? `Last ${minutes} minutes` : `Last ${range.end - range.start} seconds`;
  const head = `<header><h1>${escape(dashboard.title)}</h1>${chosen}<span class="range">${span}</span></header>`;
  return { html: `<!doctype html><meta charset="utf-8"><style>${STYLE}</style><body style="height:${height + 16}px">${head}${panels.join("")}`, height: height + 16 };
}

const [base, seconds, folder, ...files] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const end = Math.floor(Date.now() / 1000);
  const range = { start: end - Number(seconds), end };
  for (const file of files) {
    const dashboard = JSON.parse(await readFile(file, "utf8"));
    const { html, height } = await page(base, dashboard, range);
    const tab = await browser.newPage({ viewport: { width: WIDTH, height: Math.ceil(height) } });
    await tab.setContent(html);
    const name = path.basename(file, ".json");
    await tab.screenshot({ path: path.join(folder, `${name}.png`) });
    await tab.close();
    console.log(`ok: ${name}.png, ${dashboard.panels.length} panels`);
  }
});
