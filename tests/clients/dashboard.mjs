// Opens the dashboard and reads what it shows. No test by itself.

import { expect } from "./witness.mjs";

export const PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 50;

/** Waits until `look()` answers true; fails with what it answered last. */
export async function until(look, what, patienceMs = PATIENCE_MS) {
  const end = Date.now() + patienceMs;
  for (;;) {
    const seen = await look();
    if (seen === true) return;
    expect(Date.now() < end, what, seen);
    await new Promise((later) => { setTimeout(later, LOOK_EVERY_MS); });
  }
}

/**
 * A page of the dashboard and `trouble`, the list of what must not happen on it: errors, refusals
 * by the content policy, requests to other origins.
 */
export async function openDashboard(browser, base, query = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "dark", ...options });
  const page = await context.newPage();
  const trouble = [];
  const { host } = new URL(base);
  page.on("console", (message) => message.type() === "error" && trouble.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => trouble.push(`error: ${error}`));
  const judge = (url) => {
    const { host: other, protocol } = new URL(url);
    if (protocol !== "data:" && protocol !== "blob:" && other !== host) trouble.push(`request: ${url}`);
  };
  // The context hears of requests of workers too.
  context.on("request", (request) => judge(request.url()));
  page.on("websocket", (socket) => judge(socket.url()));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
      console.error(`refused by ${violatedDirective}: ${blockedURI}`);
    });
  });
  await page.goto(`${base}/${query}`);
  return { page, context, trouble };
}

/** The rows that are in the document, from the top. */
export const readRows = (page) => page.$$eval("#rows .row", (rows) => rows.filter((row) => !row.hidden)
  .map((row) => {
    const text = (cell) => row.querySelector(cell).textContent;
    return {
      symbol: row.dataset.symbol, state: row.dataset.state, badge: text(".badge"),
      last: text(".c-last"), bid: text(".c-bid"), ask: text(".c-ask"), change: text(".c-change"),
      spread: text(".c-spread"), age: text(".c-age"), index: Number(row.getAttribute("aria-rowindex")) - 2,
      isChosen: row.ariaSelected === "true",
    };
  }).sort((a, b) => a.index - b.index));

/** How many instruments the watchlist has, whether in the document or not. */
export const countRows = (page) => page.$eval("#grid", (grid) => Number(grid.getAttribute("aria-rowcount")) - 1);

/** Every row in the document is in that state, and there is at least one. */
export const everyRow = (page, state, patienceMs) => until(async () => {
  const rows = await readRows(page);
  return (rows.length > 0 && rows.every((row) => row.state === state && row.badge === state)) || rows.slice(0, 5);
}, `every row ${state}`, patienceMs);

/** The service has sent that many instruments, and all that are shown are live. */
export async function liveRows(page, count) {
  await until(async () => (await countRows(page)) === count || await countRows(page), `${count} rows`);
  await everyRow(page, "live");
}

export const linkState = (page) => page.$eval("body", ({ dataset }) => dataset.link);

export const linkBecomes = (page, state, patienceMs) => until(async () => {
  const seen = await linkState(page);
  return seen === state || seen;
}, `a connection that is ${state}`, patienceMs);

/** A whole number of the connection panel; NaN while it is not known. */
export const figure = async (page, name) => {
  const text = await page.textContent(`#figure-${name}`);
  return /^[\d,]+$/.test(text) ? Number(text.replaceAll(",", "")) : NaN;
};

export function noTrouble(trouble) {
  expect(trouble.length === 0, "no error, no refusal, nothing from elsewhere", trouble);
}
