// A killed service: the page says "reconnecting" with a countdown, every row and the view go stale,
// and when there is a service again everything recovers with no manual action. Then an orderly end.
//
// usage: node page_faults.mjs BASE_URL, stdin a pipe
// expects: a service with the simulator, 20 instruments. Says KILL and waits for the line "killed"
// (SIGKILL), says START and waits for "started" (another service at the same address), says READY
// when the service may be stopped in order (SIGTERM).

import { createInterface } from "node:readline";
import { withBrowser } from "./chromium.mjs";
import { everyRow, figure, linkBecomes, liveRows, openDashboard, readRows, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const INSTRUMENTS = 20;
/** The longest pause between two tries, and time to spare. */
const RECONNECT_PATIENCE_MS = 60_000;

const heard = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Says a word to the parent and waits for its answer. */
async function ask(word, answer) {
  console.log(word);
  const { value } = await heard.next();
  expect(value === answer, `the line "${answer}" on stdin`, value ?? "the end");
}

const viewState = (page) => page.$eval("#view", ({ dataset }) => dataset.state);

async function killed(page) {
  await ask("KILL", "killed");
  await linkBecomes(page, "reconnecting");
  expect(/reconnecting/.test(await page.textContent("#link-state")), "the word", await page.textContent("#link-state"));
  await until(async () => {
    const text = await page.textContent("#link-detail");
    return /^in \d+ s/.test(text) || text;
  }, "a countdown to the next try");
  await everyRow(page, "stale");
  await until(async () => (await viewState(page)) === "stale" || viewState(page), "a stale view");
  // Stale is shown and not hidden: prices stay, and look different.
  const rows = await readRows(page);
  expect(rows.length === INSTRUMENTS && rows.every(({ last }) => /^\d/.test(last)), "prices that stay", rows[0]);
  const style = await page.$eval("#rows .row:not([hidden]) .c-last", (cell) => getComputedStyle(cell).fontStyle);
  expect(style === "italic", "stale prices in italics", style);
  console.log("ok: killed: reconnecting with a countdown, rows and view stale");
}

async function recovers(page) {
  const before = await readRows(page);
  await ask("START", "started");
  await linkBecomes(page, "live", RECONNECT_PATIENCE_MS);
  await everyRow(page, "live");
  await until(async () => (await viewState(page)) === "live" || viewState(page), "a live view");
  // The new run has its own prices: what is shown is not what was left.
  await until(async () => {
    const rows = await readRows(page);
    return rows.filter(({ last }, at) => last !== before[at]?.last).length > INSTRUMENTS / 2 || rows.slice(0, 3);
  }, "new prices");
  await until(async () => (await figure(page, "reconnects")) >= 1 || figure(page, "reconnects"), "the reconnect counted");
  for (const scroller of ["#ladder .level", "#tape .print"]) {
    await until(async () => (await page.locator(`${scroller}:not([hidden])`).count()) > 2 || "none", `lines in ${scroller}`);
  }
  console.log("ok: recovered with no manual action");
}

async function stopped(page) {
  console.log("READY");
  await until(async () => {
    const text = await page.textContent("#link-state");
    return /restarting|reconnecting/.test(text) || text;
  }, "a word about the restart");
  await linkBecomes(page, "reconnecting");
  await everyRow(page, "stale");
  console.log("ok: the end of the service is said and shown");
}

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const { page } = await openDashboard(browser, base, "?panel=open&interval=1s");
  await liveRows(page, INSTRUMENTS);
  await page.click("#rows .row");
  await until(async () => (await viewState(page)) === "live" || viewState(page), "a live view");
  await killed(page);
  await recovers(page);
  await stopped(page);
});
process.stdin.destroy();
