// What a page costs: 500 instruments at 5,000 updates a second in Chromium, each shown in a cell at animation frames.
//
//   TICKCAST_BIN=… node bench/long-tasks.mjs [seconds] [json|protobuf]

import { test } from "node:test";
import { openPage, serveFiles } from "../test/chromium.mjs";
import { eventually, startService } from "../test/service.mjs";

const [seconds = "20", encoding = "json"] = process.argv.slice(2);

test("500 instruments, 5,000 updates a second", async (t) => {
  const service = await startService(t, ["--sim-instruments", "500", "--sim-rate", "5000", "--sim-zipf", "0", "--sim-pace", "steady"]);
  const files = await serveFiles(t);
  const { page } = await openPage(t);
  // Times of the page's main thread as CPU time, so that other programs on the machine do not count.
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.setTimeDomain", { timeDomain: "threadTicks" });
  await session.send("Performance.enable");
  const cpu = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
  await page.goto(`${files}/examples/browser/?url=ws://127.0.0.1:1`);
  await page.evaluate(async ([url, encoding]) => {
    const { connect } = await import("/clients/js/dist/index.js");
    const { protobuf } = await import("/clients/js/dist/protobuf.js");
    document.body.replaceChildren();
    window.tick = connect(url, { encoding: encoding === "protobuf" ? protobuf : "json", transport: "websocket" });
    window.updates = 0;
    const cells = new Map();
    window.tickers = tick.ticker("sim:*", () => { updates += 1; });
    tickers.onFrame((changed) => {
      for (const t of changed) {
        let cell = cells.get(t.symbol);
        if (cell === undefined) {
          cell = document.body.appendChild(document.createElement("div")).appendChild(document.createTextNode(""));
          cells.set(t.symbol, cell);
        }
        cell.data = t.last;
      }
    });
  }, [service.url, encoding]);
  await eventually(() => page.evaluate(() => tickers.size === 500));
  const before = await cpu();
  const seen = await page.evaluate(async (ms) => {
    const tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
    const frames = [];
    let last = performance.now();
    const frame = (at) => { frames.push(at - last); last = at; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    const before = { updates, messages: tick.connection.messages, bytes: tick.connection.bytes, at: performance.now() };
    await new Promise((resolve) => setTimeout(resolve, ms));
    const elapsed = (performance.now() - before.at) / 1000;
    frames.sort((a, b) => a - b);
    const at = (share) => frames[Math.floor(share * (frames.length - 1))]?.toFixed(1);
    return {
      "updates/s": Math.round((updates - before.updates) / elapsed),
      "kB/s": Math.round((tick.connection.bytes - before.bytes) / elapsed / 1000),
      "long tasks (> 50 ms)": tasks.length,
      "longest task, ms": Math.max(0, ...tasks),
      "frames/s": Math.round(frames.length / elapsed),
      "frame time p50, p95, p99, ms": [at(0.5), at(0.95), at(0.99)].join(", "),
      "gaps": tick.connection.resyncs,
    };
  }, Number(seconds) * 1000);
  const after = await cpu();
  for (const name of ["ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration"]) {
    seen[`${name}, CPU ms/s`] = Math.round((after[name] - before[name]) * 1000 / Number(seconds));
  }
  console.log(encoding, seen);
});
