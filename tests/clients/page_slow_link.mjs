// The slow link: the switch makes the page's worker read slowly (over a connection of its own), the
// service merges, the rows stay and move, and when the switch is off again nothing is owed any more.
//
// usage: node page_slow_link.mjs BASE_URL
// expects: a running service with the simulator, 500 instruments at 5,000 updates a second
// (`--sim-instruments 500 --sim-rate 5000`), so that the buffers on the way fill soon.

import { withBrowser } from "./chromium.mjs";
import { countRows, everyRow, figure, linkState, liveRows, noTrouble, openDashboard, readRows, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const MERGED_MIN = 1_000;
/** A pause of the slow link and what comes behind it, many times. */
const SLOW_PATIENCE_MS = 90_000;

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const { page, trouble } = await openDashboard(browser, base, "?rate=realtime&panel=open");
  const { instruments } = await (await fetch(`${base}/v1/instruments`)).json();
  await liveRows(page, instruments.length);
  await until(async () => Number.isFinite(await figure(page, "merged")) || page.textContent("#figure-merged"), "a figure of merged updates");
  console.log(`ok: ${instruments.length} rows in real time, ${await figure(page, "merged")} merged`);

  await page.click("#slow");
  expect(await page.getAttribute("#slow", "aria-checked") === "true", "the switch on", "off");
  await until(async () => {
    const [note, reconnects] = [await page.textContent("#slow-note"), await figure(page, "reconnects")];
    return (/^reads .+ of .+/.test(note) && reconnects === 1) || { note, reconnects };
  }, "a slow connection of its own", SLOW_PATIENCE_MS);
  await until(async () => {
    const merged = await figure(page, "merged");
    return merged > MERGED_MIN || { merged, owed: await figure(page, "owed") };
  }, `more than ${MERGED_MIN} updates merged`, SLOW_PATIENCE_MS);
  console.log(`ok: ${await page.textContent("#slow-note")}: ${await figure(page, "merged")} merged`);
  expect(await linkState(page) === "live", "a live connection", await linkState(page));
  expect(await countRows(page) === instruments.length, "all rows still there", await countRows(page));
  await everyRow(page, "live");
  const before = await readRows(page);
  await until(async () => {
    const rows = await readRows(page);
    return rows.filter(({ bid }, at) => bid !== before[at].bid).length > before.length / 2 || rows.slice(0, 3);
  }, "rows that move");
  console.log("ok: every row there, live and moving");

  // The page itself is not blocked: a search answers while the worker is.
  await page.fill("#filter", "*S1-*");
  await until(async () => (await countRows(page)) === 1 || await countRows(page), "one row found");
  await page.fill("#filter", "");
  await until(async () => (await countRows(page)) === instruments.length, "all rows");

  await page.click("#slow");
  // A machine that cannot read 5,000 updates a second goes on being merged for: that is not our question.
  await page.click("#rate >> text=4/s");
  await until(async () => {
    const merged = await figure(page, "merged");
    await until(async () => (await page.textContent("#figure-mergedrate")) === "0" || page.textContent("#figure-mergedrate"), "no merging");
    const [owed, later] = [await figure(page, "owed"), await figure(page, "merged")];
    return (owed === 0 && later === merged) || { owed, merged, later };
  }, "nothing owed and nothing merged any more", SLOW_PATIENCE_MS);
  await everyRow(page, "live");
  const [reconnects, resyncs] = [await figure(page, "reconnects"), await figure(page, "resyncs")];
  expect(reconnects === 1 && resyncs === 0, "no other reconnect, no resync", { reconnects, resyncs });
  noTrouble(trouble);
  console.log("ok: off again: nothing is owed, no other reconnect, no resync");
});
