// Frames: 500 rows, 5,000 updates a second. Prints what is measured; asserts only what does not
// depend on the machine: the document stays small, nothing grows, one change of it per frame.
//
// usage: node page_frames.mjs BASE_URL
// expects: a service with the simulator, `--sim-instruments 500 --sim-rate 5000`.

import { withBrowser } from "./chromium.mjs";
import { figure, liveRows, noTrouble, openDashboard, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const SETTLE_MS = 5_000;
const MEASURE_MS = 10_000;
const UPDATES_MIN = 100;
/** Rows of a window of 900 px, and those around it. */
const ROWS_MAX = 60;
/** What caches of the browser and bars that are added may take. */
const NODES_GROWTH_MAX = 300;
const HEAP_GROWTH_MAX = 6_000_000;

const CASES = [
  ["watchlist, real time", "?rate=realtime&panel=closed", false],
  ["watchlist, instrument and panel, real time", "?rate=realtime&panel=open&instrument=sim:S0-USD&interval=1s", false],
  ["the same, scrolling", "?rate=realtime&panel=open&instrument=sim:S0-USD&interval=1s", true],
  ["watchlist, instrument and panel, 4 a second", "?rate=4&panel=open&instrument=sim:S0-USD&interval=1s", false],
];

const wait = (ms) => new Promise((later) => { setTimeout(later, ms); });

/** In the page: frame times, long tasks, and how often the rows change within one frame. */
function observe() {
  const seen = { frames: [], tasks: [], changes: new Map(), frame: 0, last: performance.now() };
  const next = (now) => {
    seen.frames.push(now - seen.last);
    seen.last = now;
    seen.frame += 1;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
  new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => seen.tasks.push(duration)))
    .observe({ type: "longtask" });
  new MutationObserver(() => seen.changes.set(seen.frame, (seen.changes.get(seen.frame) ?? 0) + 1))
    .observe(document.getElementById("rows"), { subtree: true, childList: true, characterData: true, attributes: true });
  globalThis.seen = seen;
}

async function scroll(page, ms) {
  const end = Date.now() + ms;
  await page.mouse.move(300, 400);
  for (let way = 1; Date.now() < end; way = -way) {
    for (let turn = 0; turn < 20 && Date.now() < end; turn += 1) {
      await page.mouse.wheel(0, way * 240);
      await wait(50);
    }
  }
}

/** Of one processor. */
const share = (before, after, ms) => `${(((after - before) / (ms / 1_000)) * 100).toFixed(0)} %`;

const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

async function memory(session) {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const value = (name) => metrics.find((one) => one.name === name).value;
  return { nodes: value("Nodes"), listeners: value("JSEventListeners"), heap: value("JSHeapUsedSize"), thread: value("ThreadTime"), process: value("ProcessTime") };
}

async function measure(browser, base, [name, query, scrolls]) {
  const { page, context, trouble } = await openDashboard(browser, base, query);
  const { instruments } = await (await fetch(`${base}/v1/instruments`)).json();
  await liveRows(page, instruments.length);
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable");
  await wait(SETTLE_MS);
  const before = await memory(session);
  await page.evaluate(observe);
  if (scrolls) await scroll(page, MEASURE_MS);
  else await wait(MEASURE_MS);
  // A busy machine draws less in that time; what is judged needs so many changes, however long they take.
  await until(async () => {
    const changes = await page.evaluate(() => globalThis.seen.changes.size);
    return changes > UPDATES_MIN || changes;
  }, `rows that change during ${name}`);
  const seen = await page.evaluate(() => ({
    frames: globalThis.seen.frames.slice(1), tasks: globalThis.seen.tasks, changes: [...globalThis.seen.changes.values()],
    rows: document.querySelectorAll("#rows .row").length,
  }));
  await until(async () => Number(await figure(page, "messages")) >= 0 || "none yet", "a figure of messages");
  const messages = await figure(page, "messages");
  const after = await memory(session);
  tell(name, seen, messages, before, after);
  judge(name, seen, before, after);
  noTrouble(trouble);
  await context.close();
}

function tell(name, { frames, tasks }, messages, before, after) {
  const sorted = [...frames].sort((a, b) => a - b);
  const total = frames.reduce((sum, one) => sum + one, 0);
  const ms = (value) => value.toFixed(1);
  const long = tasks.length ? `${tasks.length} long tasks, the longest ${ms(Math.max(...tasks))} ms` : "no long task";
  console.log(`${name}: ${((frames.length / total) * 1_000).toFixed(1)} frames/s; frame time median ${ms(percentile(sorted, 0.5))}`
    + `, p95 ${ms(percentile(sorted, 0.95))}, p99 ${ms(percentile(sorted, 0.99))}, worst ${ms(sorted.at(-1))} ms; ${long}`
    + `; processor time of the page's main thread ${share(before.thread, after.thread, total)}, of its process `
    + `${share(before.process, after.process, total)}; ${messages} messages/s`);
}

function judge(name, { changes, rows }, before, after) {
  const most = Math.max(...changes);
  expect(most <= 1, `at most one change of the rows per frame during ${name}`, most);
  expect(rows <= ROWS_MAX, `at most ${ROWS_MAX} rows in the document`, rows);
  const growth = { nodes: after.nodes - before.nodes, listeners: after.listeners - before.listeners, heap: after.heap - before.heap };
  expect(growth.nodes <= NODES_GROWTH_MAX, `at most ${NODES_GROWTH_MAX} nodes more after ${name}`, growth);
  expect(growth.listeners <= 0, `no listener more after ${name}`, growth);
  expect(growth.heap <= HEAP_GROWTH_MAX, `at most ${HEAP_GROWTH_MAX} bytes more after ${name}`, growth);
  console.log(`ok: ${name}: ${rows} rows in the document, one change per frame, nothing grows (${JSON.stringify(growth)})`);
}

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  for (const one of CASES) await measure(browser, base, one);
});
