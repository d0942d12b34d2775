// The dashboard in Chromium: rows fill, prices and ages move, filters and sorting work, nothing
// is fetched from elsewhere; then a picture of it.
// usage: node page_screenshot.mjs BASE_URL PNG

import { withBrowser } from "./chromium.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 90_000;
const PATIENCE = { timeout: 20_000 };
const VIEWPORT = { width: 1280, height: 640 };

/** What the table shows, read in the page. */
const readRows = (page) => page.$$eval("#rows tr", (rows) => rows.map((row) => ({
  symbol: row.querySelector(".symbol").textContent,
  state: row.dataset.state,
  badge: row.querySelector(".badge").textContent,
  prices: [".last", ".bid", ".ask"].map((cell) => row.querySelector(cell).textContent),
  change: row.querySelector(".change").textContent,
  age: row.querySelector(".age").textContent,
})));

async function fills(page, count) {
  await page.waitForFunction((count) => {
    const rows = [...document.querySelectorAll("#rows tr")];
    const priced = (row) => [".last", ".bid", ".ask"].every((cell) =>
      /^\d+(\.\d+)?$/.test(row.querySelector(cell).textContent));
    return rows.length === count && rows.every(priced);
  }, count, PATIENCE).catch(async () => {
    expect(false, `${count} rows with last, bid and ask`, await readRows(page));
  });
  const rows = await readRows(page);
  for (const row of rows) {
    expect(row.state === "live" && row.badge === "live", "every row live", row);
    expect(/^[+-]?\d+\.\d\d%$/.test(row.change), "a change in percent", row);
    expect(/^\d+(\.\d)?[smhd]$/.test(row.age), "an age", row);
  }
  expect(await page.textContent("#link") === "live", "a live link", await page.textContent("#link"));
  console.log(`ok: ${rows.length} rows with prices, all live`);
}

async function moves(page) {
  const [first] = await readRows(page);
  const last = (await readRows(page)).at(-1);
  const became = (selector, old) => page.waitForFunction(
    ([selector, old]) => document.querySelector(selector).textContent !== old,
    [selector, old], PATIENCE,
  );
  await became("#rows tr:first-child .bid", first.prices[1]);
  await became("#rows tr:last-child .age", last.age);
  for (const meter of ["rate", "traffic", "delay", "rtt"]) {
    await page.waitForFunction((id) => /^\d/.test(document.getElementById(id).textContent), meter, PATIENCE);
  }
  console.log("ok: prices, ages and meters move");
}

async function filters(page) {
  const check = async (text, expected) => {
    await page.fill("#filter", text);
    await page.waitForFunction((count) => document.querySelectorAll("#rows tr").length === count,
      expected, PATIENCE).catch(async () => {
      expect(false, `${expected} rows for ${text}`, await readRows(page));
    });
  };
  await check("S1", 11);
  await check("*S1*-usd", 11);
  await check("sim:*", 20);
  await check("S7-USD", 1);
  await check("nothing like this", 0);
  expect(await page.isVisible("#empty"), "a word about why the table is empty", "none");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 20, null, PATIENCE);
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("/");
  const focused = await page.evaluate(() => document.activeElement.id);
  expect(focused === "filter", "the filter focused by /", focused);
  await page.evaluate(() => document.activeElement.blur());
  console.log("ok: filters by prefix and glob, by keyboard");
}

async function sorts(page) {
  const button = page.locator("[data-sort=symbol] button");
  const before = (await readRows(page)).map(({ symbol }) => symbol);
  const sorted = [...before].sort();
  for (const [order, sort] of [[sorted, "ascending"], [[...sorted].reverse(), "descending"], [before, null]]) {
    await button.click();
    const symbols = (await readRows(page)).map(({ symbol }) => symbol);
    expect(symbols.join() === order.join(), `${sort} order`, symbols);
    const said = await page.getAttribute("[data-sort=symbol]", "aria-sort");
    expect(said === sort, `aria-sort ${sort}`, said);
  }
  console.log("ok: sorts by a column and back");
}

const [base, png] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const page = await browser.newPage({ viewport: VIEWPORT, colorScheme: "dark" });
  const trouble = [];
  page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== "data:" && origin !== new URL(base).origin) trouble.push(request.url());
  });
  await page.goto(`${base}/`);
  await fills(page, 20);
  await moves(page);
  await filters(page);
  await sorts(page);
  await fills(page, 20);
  await page.screenshot({ path: png });
  expect(trouble.length === 0, "no error and nothing from elsewhere", trouble);
  console.log(`ok: picture in ${png}`);
});
