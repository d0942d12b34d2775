// The dashboard when things go wrong: lost updates, stale instruments, dead connections, the end
// of the service. The service is real; its messages are tampered with on their way to the page.
// usage: node page_faults.mjs BASE_URL; prints READY when the service may be stopped.

import { withBrowser } from "./chromium.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 90_000;
const PATIENCE = { timeout: 20_000 };

/** `verdict` of the page for each case: held, type, item, what the protocol says. */
const RULE = [
  [{ epoch: 0, seq: 0, newest: 0 }, "snapshot", { epoch: 5, seq: 0 }, "replace"],
  [{ epoch: 5, seq: 9, newest: 5 }, "snapshot", { epoch: 5, seq: 3 }, "replace"],
  [{ epoch: 5, seq: 9, newest: 5 }, "snapshot", { epoch: 6, seq: 1 }, "replace"],
  [{ epoch: 5, seq: 9, newest: 5 }, "snapshot", { epoch: 4, seq: 99 }, "ignore"],
  [{ epoch: 5, seq: 9, newest: 0 }, "snapshot", { epoch: 4, seq: 99 }, "replace"],
  [{ epoch: 0, seq: 0, newest: 0 }, "update", { epoch: 5, prev: 0, seq: 1 }, "ask"],
  [{ epoch: 5, seq: 9, newest: 5 }, "update", { epoch: 5, prev: 9, seq: 10 }, "merge"],
  [{ epoch: 5, seq: 9, newest: 5 }, "update", { epoch: 5, prev: 2, seq: 10 }, "merge"],
  [{ epoch: 5, seq: 9, newest: 5 }, "update", { epoch: 5, prev: 2, seq: 9 }, "ignore"],
  [{ epoch: 5, seq: 9, newest: 5 }, "update", { epoch: 5, prev: 10, seq: 11 }, "ask"],
  [{ epoch: 5, seq: 9, newest: 5 }, "update", { epoch: 6, prev: 9, seq: 10 }, "ask"],
  [{ epoch: 5, seq: 9, newest: 5 }, "update", { epoch: 4, prev: 9, seq: 10 }, "ignore"],
  [{ epoch: 5, seq: 9, newest: 5 }, "something", { epoch: 5, prev: 9, seq: 10 }, "ignore"],
];

async function followsTheRule(page) {
  const verdicts = await page.evaluate(async (cases) => {
    const { verdict } = await import(new URL("link.js", location.href));
    return cases.map(([held, type, item]) => verdict(held, type, item));
  }, RULE);
  RULE.forEach((one, at) => expect(verdicts[at] === one[3], JSON.stringify(one), verdicts[at]));
  console.log(`ok: the rule, ${RULE.length} cases`);
}

/** Stands between page and service: `tamper(message)` answers what the page gets, if anything. */
async function standBetween(page) {
  const between = { tamper: (message) => message, requests: [], connections: 0, inject: null };
  await page.routeWebSocket(/\/v1\/ws$/, (near) => {
    between.connections += 1;
    const far = near.connectToServer();
    between.inject = (message) => near.send(JSON.stringify(message));
    near.onMessage((text) => {
      between.requests.push(JSON.parse(text));
      far.send(text);
    });
    far.onMessage((text) => {
      const message = between.tamper(JSON.parse(text));
      if (message) near.send(JSON.stringify(message));
    });
  });
  return between;
}

const state = (page, symbol) => page.$$eval("#rows tr", (rows, symbol) => rows
  .find((row) => row.querySelector(".symbol").textContent === symbol)?.dataset.state, symbol);

async function until(holds, what) {
  const end = Date.now() + PATIENCE.timeout;
  for (;;) {
    const seen = await holds();
    if (seen === true) return;
    expect(Date.now() < end, what, seen);
    await new Promise((later) => { setTimeout(later, 50); });
  }
}

const everyState = (page, expected) => until(async () => {
  const states = await page.$$eval("#rows tr", (rows) => rows.map((row) => row.dataset.state));
  return (states.length === 20 && states.every((one) => one === expected)) || states;
}, `20 rows ${expected}`);

/** A lost update is noticed, and only its symbol is asked for again, with what is held. */
async function lostUpdate(page, between) {
  let lost = null;
  const asked = between.requests.length;
  between.tamper = (message) => {
    if (lost || message.channel !== "ticker" || message.type !== "update") return message;
    [lost] = message.data;
    return null;
  };
  await until(() => between.requests.slice(asked).some(({ method }) => method === "subscribe")
    || between.requests.slice(asked), "a subscribe after a lost update");
  const again = between.requests.slice(asked).find(({ method }) => method === "subscribe").params;
  expect(again.symbol.join() === lost.symbol, `a question about ${lost.symbol} only`, again);
  const since = again.since[lost.symbol];
  expect(since.epoch === lost.epoch && since.seq <= lost.prev, `since up to ${lost.prev}`, since);
  await everyState(page, "live");
  expect(between.connections === 1, "no other connection", between.connections);
  console.log("ok: a lost update is asked for again, alone");
}

async function staleInstrument(page, between) {
  let status = null;
  between.tamper = (message) => message;
  const [{ params: { symbol: [symbol] } }] = between.requests
    .filter(({ method }) => method === "subscribe");
  const name = symbol.split(":")[1];
  for (const [seq, word] of ["stale", "resync", "halted", "closed", "live"].entries()) {
    status = { symbol, epoch: 2 ** 52, seq: seq + 1, prev: seq, state: word, ts_state: Date.now() * 1_000 };
    between.inject({ channel: "status", type: seq ? "update" : "snapshot", data: [status] });
    await until(async () => {
      const seen = await state(page, name);
      return seen === word || seen;
    }, `${name} ${word}`);
  }
  console.log("ok: every state is shown");
}

/** Three heartbeats missed: the connection is given up, and the next one resumes. */
async function deadConnection(page, between) {
  between.tamper = (message) => {
    if (message.type !== "welcome") return message;
    const [welcome] = message.data;
    return { ...message, data: [{ ...welcome, heartbeat_ms: 300 }] };
  };
  await page.reload();
  await everyState(page, "live");
  const { connections } = between;
  between.tamper = () => null;
  await everyState(page, "offline");
  const asked = between.requests.length;
  between.tamper = (message) => message;
  await until(() => between.connections > connections || between.connections, "a new connection");
  await everyState(page, "live");
  const again = between.requests.slice(asked).find(({ method }) => method === "subscribe").params;
  const held = Object.values(again.since ?? {}).filter(({ seq }) => seq > 0);
  expect(held.length === 20, "since of 20 symbols", again);
  console.log("ok: a dead connection is noticed, and the next one resumes");
}

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 640 } });
  const between = await standBetween(page);
  await page.goto(`${base}/`);
  await everyState(page, "live");
  await followsTheRule(page);
  await lostUpdate(page, between);
  await staleInstrument(page, between);
  await deadConnection(page, between);

  console.log("READY");
  await until(async () => {
    const link = await page.textContent("#link");
    return /restarting/.test(link) || link;
  }, "a word about the restart after goaway");
  await everyState(page, "offline");
  const link = await page.textContent("#link");
  expect(/trying again|connecting/.test(link), "a word about trying again", link);
  console.log("ok: the end of the service is said and shown");
});
