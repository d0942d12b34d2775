// Chromium's own WebSocket and EventSource against the service.
// usage: node browser_client.mjs BASE_URL; prints READY when the service may be stopped.
//
// The browser goes through a small proxy here that can cut its lines: an EventSource resumes only
// when its line breaks.

import { readFile } from "node:fs/promises";
import net from "node:net";
import { withBrowser } from "./chromium.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
/** Enough for a request's head; what follows is not kept. */
const HEADS_MAX = 1 << 20;

/** Forwards to `base` and remembers what the browser sends. */
async function cuttableProxy(base) {
  const { protocol, hostname, port } = new URL(base);
  const lines = new Set();
  const proxy = { heads: "", cut: () => lines.forEach((line) => line.destroy()) };
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    lines.add(near);
    near.on("data", (bytes) => {
      if (proxy.heads.length < HEADS_MAX) proxy.heads += bytes.toString("latin1");
    });
    near.on("error", () => far.destroy()).on("close", () => {
      lines.delete(near);
      far.destroy();
    });
    far.on("error", () => near.destroy()).on("close", () => near.end());
    near.pipe(far).pipe(near);
  });
  await new Promise((listening) => { server.listen(0, "127.0.0.1", listening); });
  proxy.base = `${protocol}//127.0.0.1:${server.address().port}`;
  proxy.close = () => {
    server.close();
    proxy.cut();
  };
  return proxy;
}

/** A page of the service's own origin that can import the modules beside this file. */
async function pageOf(browser, base) {
  const page = await (await browser.newContext({ bypassCSP: true })).newPage();
  page.on("console", (message) => {
    if (message.text().startsWith("ok: ") || message.text().includes("WebSocket")) {
      console.log(message.text());
    }
  });
  await page.route("**/test-clients/*.mjs", async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").at(-1);
    const body = await readFile(new URL(name, import.meta.url), "utf8");
    await route.fulfill({ contentType: "text/javascript", body });
  });
  // Any document that the service itself serves; the dashboard would bring its own connection.
  await page.goto(`${base}/v1/instruments`);
  return page;
}

/** Runs in the page: reads events, has the line cut, and reads on. */
async function eventSource({ patience }) {
  const { instruments: [{ symbol }] } = await (await fetch("/v1/instruments")).json();
  const source = new EventSource(`/v1/sse?channel=ticker&symbol=${symbol}`);
  const seen = [];
  let opened = 0;
  let look = () => {};
  source.addEventListener("open", () => { opened += 1; });
  for (const name of ["ticker", "status", "system"]) {
    source.addEventListener(name, ({ data, lastEventId }) => {
      seen.push({ name, opened, lastEventId, message: JSON.parse(data) });
      look();
    });
  }
  const tickers = (time) => seen.filter((one) => one.name === "ticker" && one.opened === time);
  const until = (ready, what) => new Promise((resolve, reject) => {
    const text = () => `expected ${what}; saw ${JSON.stringify(seen).slice(0, 600)}`;
    const timer = setTimeout(() => reject(new Error(text())), patience);
    look = () => {
      if (!ready()) return;
      clearTimeout(timer);
      resolve();
    };
    look();
  });
  await until(() => tickers(1).length >= 3, "three ticker events");
  await window.cutLines();
  await until(() => tickers(2).length >= 3, "three ticker events after the line was cut");
  source.close();
  return { before: tickers(1), after: tickers(2), first: seen.find(({ name }) => name !== "system") };
}

function judgeEvents({ before, after, first }, heads) {
  expect(first.name === "status" && first.lastEventId === "", "status first, without an id", first);
  expect(before[0].message.type === "snapshot", "a snapshot first", before[0]);
  for (const { lastEventId, message: { data: [item] } } of [...before, ...after]) {
    expect(lastEventId === `${item.epoch}-${item.seq}`, "the id epoch-seq", { lastEventId, item });
  }
  const { lastEventId, message: held } = before.at(-1);
  // Behind TLS the heads cannot be read here; that the update goes on from `held` says the same.
  const asked = heads === null || heads.toLowerCase().includes(`last-event-id: ${lastEventId}\r\n`);
  expect(asked, `a request with Last-Event-ID ${lastEventId}`, "none");
  const [{ message }] = after;
  const { seq } = held.data[0];
  expect(message.type === "update" && message.data[0].prev === seq, `an update from ${seq}`, message);
}

const [service] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const proxy = await cuttableProxy(service);
  const page = await pageOf(browser, proxy.base);
  await page.exposeFunction("cutLines", () => proxy.cut());
  await page.exposeFunction("ready", () => console.log("READY"));

  judgeEvents(await page.evaluate(eventSource, { patience: 60_000 }),
    proxy.base.startsWith("https:") ? null : proxy.heads);
  console.log("ok: EventSource resumes where its line was cut");

  await page.evaluate(async () => {
    const { session, farewell } = await import("/test-clients/session.mjs");
    const log = (text) => console.log(`ok: ${text}`);
    const env = { WebSocket, base: location.origin, log };
    await session(env);
    await farewell(env, () => window.ready());
  });
  proxy.close();
});
