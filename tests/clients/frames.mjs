// Frames as a person's browser draws them: Chromium is only asked by its protocol, not driven, since
// a driver is told of every message and takes a processor for that. Prints what is measured.
//
// usage: node frames.mjs BASE_URL
// expects: a service with the simulator, such as `--sim-instruments 500 --sim-rate 5000`.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const folder = process.env.TICKCAST_NODE_PATH ?? "node_modules";
const { WebSocket } = createRequire(path.resolve(folder, "from-here.js"))("ws");

const SETTLE_MS = 8_000;
const MEASURE_MS = 15_000;
const VIEW = "instrument=sim:S0-USD&interval=1s";
const CASES = [
  ["watchlist, real time", "?rate=realtime&panel=closed"],
  ["watchlist, instrument and panel, real time", `?rate=realtime&panel=open&${VIEW}`],
  ["watchlist, instrument and panel, 4 a second", `?rate=4&panel=open&${VIEW}`],
];

const wait = (ms) => new Promise((later) => { setTimeout(later, ms); });

/** In the page. */
function observe() {
  const seen = { frames: [], tasks: [], last: performance.now() };
  const next = (now) => {
    seen.frames.push(now - seen.last);
    seen.last = now;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
  new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => seen.tasks.push(duration)))
    .observe({ type: "longtask" });
  globalThis.seen = seen;
}

/** Starts Chromium; answers it and where it listens. */
async function start(profile) {
  const chromium = spawn(process.env.TICKCAST_CHROMIUM ?? "/usr/bin/chromium", [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1440,900",
    `--user-data-dir=${profile}`, "--remote-debugging-port=0", "about:blank",
  ], { stdio: ["ignore", "ignore", "pipe"] });
  const address = await new Promise((listens, failed) => {
    createInterface({ input: chromium.stderr }).on("line", (line) => {
      const found = /DevTools listening on ws:\/\/([^/]+)\//.exec(line);
      if (found) listens(found[1]);
    });
    chromium.on("exit", () => failed(new Error("Chromium has ended")));
  });
  return [chromium, address];
}

/** Asks the first page of the browser that listens there. */
async function pageAt(address) {
  const targets = await (await fetch(`http://${address}/json`)).json();
  const socket = new WebSocket(targets.find(({ type }) => type === "page").webSocketDebuggerUrl);
  await new Promise((open, failed) => socket.on("open", open).on("error", failed));
  const asked = new Map();
  socket.on("message", (text) => {
    const { id, result, error } = JSON.parse(text);
    const answer = asked.get(id);
    asked.delete(id);
    if (error) answer?.failed(new Error(error.message));
    else answer?.done(result);
  });
  let last = 0;
  const send = (method, params = {}) => new Promise((done, failed) => {
    last += 1;
    asked.set(last, { done, failed });
    socket.send(JSON.stringify({ id: last, method, params }));
  });
  const run = async (expression) => (await send("Runtime.evaluate", { expression, returnByValue: true })).result.value;
  const used = async () => {
    const { metrics } = await send("Performance.getMetrics");
    const value = (name) => metrics.find((one) => one.name === name).value;
    return { thread: value("ThreadTime"), process: value("ProcessTime") };
  };
  return { send, run, used };
}

async function measure({ send, run, used }, base, [name, query]) {
  await send("Page.navigate", { url: `${base}/${query}` });
  await wait(SETTLE_MS);
  const before = await used();
  await run(`(${observe})()`);
  await wait(MEASURE_MS);
  const { frames, tasks, rows } = await run(
    "({ frames: seen.frames.slice(1), tasks: seen.tasks, rows: document.querySelectorAll('#rows .row').length })",
  );
  const after = await used();
  if (rows === 0) throw new Error(`${name}: no row is shown`);
  const sorted = frames.sort((a, b) => a - b);
  const total = frames.reduce((sum, one) => sum + one, 0);
  const at = (share) => sorted[Math.floor((sorted.length - 1) * share)].toFixed(1);
  const share = (what) => `${(((after[what] - before[what]) / total) * 100_000).toFixed(0)} %`;
  console.log(`${name}: ${((frames.length / total) * 1_000).toFixed(1)} frames/s; frame time median ${at(0.5)}, p95 ${at(0.95)}`
    + `, p99 ${at(0.99)}, worst ${at(1)} ms; ${tasks.length} long tasks; processor time of the main thread ${share("thread")}`
    + `, of the page's process ${share("process")}; ${rows} rows`);
}

const [base] = process.argv.slice(2);
const profile = await mkdtemp(path.join(tmpdir(), "tickcast-frames-"));
const [chromium, address] = await start(profile);
try {
  const page = await pageAt(address);
  await page.send("Performance.enable");
  for (const one of CASES) await measure(page, base, one);
} finally {
  const ended = new Promise((exit) => { chromium.on("exit", exit); });
  chromium.kill();
  await ended;
  await rm(profile, { recursive: true, force: true });
}
process.exit(0);
