// The pictures of the README: watchlist with instrument view, dark and light, and on a phone.
//
// usage: node page_screenshots.mjs BASE_URL FOLDER
// expects: a service with the simulator, 60 instruments; an existing folder. Writes dashboard.png,
// dashboard-light.png (1440 × 900) and dashboard-phone.png (390 × 844, in pixels of twice that).

import path from "node:path";
import { withBrowser } from "./chromium.mjs";
import { liveRows, noTrouble, openDashboard, until } from "./dashboard.mjs";

const DEADLINE_MS = 170_000;
const INSTRUMENTS = 60;
const SYMBOL = "sim:S0-USD";
/** As many as make a chart and a line worth looking at. */
const BARS_MIN = 30;
const LINE_MIN = 20;
const PICTURES = [
  ["dashboard.png", `?instrument=${SYMBOL}&panel=open`, { colorScheme: "dark" }],
  ["dashboard-light.png", `?instrument=${SYMBOL}&panel=open`, { colorScheme: "light" }],
  ["dashboard-phone.png", "", { colorScheme: "dark", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
];

async function ripe(page, query) {
  await liveRows(page, INSTRUMENTS);
  await until(async () => {
    const points = await page.$eval("#rows .row .c-spark path", (line) => (line.getAttribute("d") ?? "").split("L").length);
    return points >= LINE_MIN || points;
  }, `lines of ${LINE_MIN} points`, 60_000);
  if (query) {
    await until(async () => {
      const text = await page.getAttribute("#chart", "aria-label");
      return Number(/\d+/.exec(text)?.[0]) >= BARS_MIN || text;
    }, `${BARS_MIN} bars`, 90_000);
  }
}

const [base, folder] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const pages = await Promise.all(PICTURES.map(async ([file, query, options]) =>
    ({ file, query, ...(await openDashboard(browser, base, query, options)) })));
  for (const { file, query, page, trouble } of pages) {
    await page.bringToFront();
    await ripe(page, query);
    await page.screenshot({ path: path.join(folder, file) });
    noTrouble(trouble);
    console.log(`ok: ${file}`);
  }
});
