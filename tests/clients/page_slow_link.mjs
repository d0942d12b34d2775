// The slow link: the switch makes the page's worker stop reading, the service merges, and when the
// switch is off again everything is as before. The connection is the same one all the time.
//
// usage: node page_slow_link.mjs BASE_URL
// expects: a running service with the simulator, 500 instruments at 5,000 updates a second
// (`--sim-instruments 500 --sim-rate 5000`), so that the buffers on the way fill soon.

import { withBrowser } from "./chromium.mjs";
import { countRows, everyRow, figure, linkState, liveRows, noTrouble, openDashboard, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 140_000;
const MERGED_MIN = 1_000;
/** A pause of the slow link and what comes behind it, many times. */
const SLOW_PATIENCE_MS = 90_000;

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const { page, trouble } = await openDashboard(browser, base, "?rate=realtime&panel=open");
  const { instruments } = await (await fetch(`${base}/v1/instruments`)).json();
  await liveRows(page, instruments.length);
  await until(async () => Number.isFinite(await figure(page, "merged")), "a figure of merged updates");
  const before = await figure(page, "merged");
  console.log(`ok: ${instruments.length} rows in real time, ${before} merged`);

  await page.click("#slow");
  expect(await page.getAttribute("#slow", "aria-checked") === "true", "the switch on", "off");
  await until(async () => {
    const merged = await figure(page, "merged");
    return merged > before + MERGED_MIN || { before, merged };
  }, `more than ${MERGED_MIN} updates merged`, SLOW_PATIENCE_MS);
  const merged = await figure(page, "merged");
  expect(await linkState(page) === "live", "a live connection", await linkState(page));
  expect(await countRows(page) === instruments.length, "all rows still there", await countRows(page));
  await everyRow(page, "live");
  console.log(`ok: the slow link: ${merged} merged, every row there and live`);

  // The page itself is not blocked: a search answers while the worker is.
  await page.fill("#filter", "*S1-*");
  await until(async () => (await countRows(page)) === 1 || await countRows(page), "one row found");
  await page.fill("#filter", "");
  await until(async () => (await countRows(page)) === instruments.length, "all rows");

  await page.click("#slow");
  await until(async () => {
    const [owed, first] = [await figure(page, "owed"), await figure(page, "merged")];
    if (owed !== 0) return { owed };
    // Nothing is merged any more between one figure and a later one.
    await until(async () => (await page.textContent("#figure-mergedrate")) === "0" || false, "no merging");
    return (await figure(page, "merged")) === first || { first };
  }, "nothing owed and nothing merged", SLOW_PATIENCE_MS);
  await everyRow(page, "live");
  const [reconnects, resyncs] = [await figure(page, "reconnects"), await figure(page, "resyncs")];
  expect(reconnects === 0 && resyncs === 0, "no reconnect, no resync", { reconnects, resyncs });
  noTrouble(trouble);
  console.log("ok: off again: nothing is owed, no reconnect, no resync");
});
