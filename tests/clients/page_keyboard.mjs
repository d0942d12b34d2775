// Everything without a mouse, and the layout in the address: what is chosen stands there, a reload
// and another window show the same, back closes what was opened.
//
// usage: node page_keyboard.mjs BASE_URL
// expects: a service with the simulator, 60 instruments.

import { withBrowser } from "./chromium.mjs";
import { countRows, liveRows, noTrouble, openDashboard, readRows, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const INSTRUMENTS = 60;
/** Stops of the tab key between the search and the columns. */
const TABS_MAX = 12;

const query = (page) => decodeURIComponent(new URL(page.url()).search);
const queryBecomes = (page, wanted) => until(() => query(page) === wanted || query(page), `the address ${wanted}`);
const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);
const opened = (page) => page.$eval("#view", (view) => (view.hidden ? null
  : `${document.getElementById("view-venue").textContent}:${document.getElementById("view-name").textContent}`));
const chosen = async (page) => (await readRows(page)).find(({ isChosen }) => isChosen)?.symbol;
const chosenBecomes = (page, symbol) => until(async () => (await chosen(page)) === symbol || await chosen(page), `the cursor on ${symbol}`);
const openedBecomes = (page, symbol) => until(async () => (await opened(page)) === symbol || await opened(page), `the view of ${symbol}`);

async function moves(page, symbols) {
  await page.keyboard.press("ArrowDown");
  await chosenBecomes(page, symbols[0]);
  for (let press = 0; press < 3; press += 1) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await chosenBecomes(page, symbols[2]);
  await page.keyboard.press("End");
  await chosenBecomes(page, symbols.at(-1));
  await page.keyboard.press("Home");
  await chosenBecomes(page, symbols[0]);
  await page.keyboard.press("PageDown");
  await until(async () => symbols.indexOf(await chosen(page)) > 5 || chosen(page), "a page further");
  await page.keyboard.press("PageUp");
  await chosenBecomes(page, symbols[0]);
  console.log("ok: arrows, pages, both ends");
}

async function opens(page, symbols) {
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await openedBecomes(page, symbols[1]);
  await queryBecomes(page, `?instrument=${symbols[1]}`);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await openedBecomes(page, symbols[2]);
  await page.keyboard.press("]");
  await queryBecomes(page, `?instrument=${symbols[2]}&interval=5m`);
  await page.keyboard.press("[");
  await page.keyboard.press("[");
  await queryBecomes(page, `?instrument=${symbols[2]}&interval=1s`);
  await page.keyboard.press("d");
  expect(await page.isVisible("#details"), "the details", "none");
  await page.keyboard.press("Escape");
  await until(async () => !(await page.isVisible("#details")) || "visible", "no details");
  expect(await opened(page) === symbols[2], "Escape closes one thing", await opened(page));
  await page.keyboard.press("Escape");
  await openedBecomes(page, null);
  await queryBecomes(page, "?interval=1s");
  await page.keyboard.press("Enter");
  await openedBecomes(page, symbols[2]);
  await page.goBack();
  await openedBecomes(page, null);
  console.log("ok: Enter opens, Escape and back close, one thing at a time");
}

async function searches(page, symbols) {
  await page.keyboard.press("/");
  expect(await focused(page) === "filter", "the search focused by /", await focused(page));
  await page.keyboard.type("S1");
  const found = symbols.filter((symbol) => symbol.startsWith("sim:S1"));
  await until(async () => (await countRows(page)) === found.length || await countRows(page), `${found.length} rows for S1`);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await openedBecomes(page, found[0]);
  await queryBecomes(page, `?filter=S1&instrument=${found[0]}&interval=1s`);
  await page.keyboard.press("Escape");
  await openedBecomes(page, null);
  await page.keyboard.press("Escape");
  await until(async () => (await countRows(page)) === symbols.length || await countRows(page), "all rows again");
  // Faster than the search waits for more: Enter opens what was typed, not what is still shown.
  await page.keyboard.press("/");
  await page.$eval("#filter", (box) => {
    box.value = "s12";
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  });
  await openedBecomes(page, "sim:S12-USD");
  await page.keyboard.press("Escape");
  await openedBecomes(page, null);
  await page.keyboard.press("Escape");
  await until(async () => (await countRows(page)) === symbols.length || await countRows(page), "all rows after that");
  await page.keyboard.press("g");
  expect(await focused(page) === "symbols", "the symbols focused by g", await focused(page));
  await page.keyboard.type("sim:S2*, sim:S5-USD");
  await page.keyboard.press("Enter");
  const subscribed = symbols.filter((symbol) => symbol.startsWith("sim:S2") || symbol === "sim:S5-USD");
  await until(async () => (await countRows(page)) === subscribed.length || await countRows(page), `${subscribed.length} rows subscribed to`);
  await queryBecomes(page, "?symbols=sim:S2*,sim:S5-USD&interval=1s");
  expect(await focused(page) === "grid", "the keys with the watchlist again", await focused(page));
  console.log("ok: / searches, g subscribes");
}

async function switches(page) {
  await page.keyboard.press("t");
  await queryBecomes(page, "?symbols=sim:S2*,sim:S5-USD&interval=1s&theme=light");
  const theme = await page.$eval("html", ({ dataset }) => dataset.theme);
  expect(theme === "light", "the light theme", theme);
  await page.keyboard.press("1");
  await page.keyboard.press("c");
  await queryBecomes(page, "?symbols=sim:S2*,sim:S5-USD&interval=1s&rate=realtime&theme=light&panel=closed");
  expect(!(await page.isVisible("#panel")), "no panel", "one");
  await page.keyboard.press("s");
  expect(await page.getAttribute("#slow", "aria-checked") === "true", "the slow link on", "off");
  await page.keyboard.press("s");
  await page.keyboard.press("?");
  expect(await page.isVisible("#help"), "the help", "none");
  await page.keyboard.press("Escape");
  await until(async () => !(await page.isVisible("#help")) || "visible", "no help");
  console.log("ok: theme, rate, panel, slow link, help");
}

async function sorts(page) {
  const names = async () => (await readRows(page)).map(({ symbol }) => symbol);
  const natural = await names();
  const sorted = [...natural].sort();
  // The columns are reached from the search box.
  await page.focus("#filter");
  const column = () => page.evaluate(() => document.activeElement.closest("[data-sort]")?.dataset.sort);
  for (let left = TABS_MAX; (await column()) !== "symbol"; left--) {
    expect(left > 0, "a column within reach", await page.evaluate(() => document.activeElement.outerHTML));
    await page.keyboard.press("Tab");
  }
  for (const [order, sort, said] of [[sorted, "symbol", "ascending"], [[...sorted].reverse(), "-symbol", "descending"], [natural, null, null]]) {
    await page.keyboard.press("Enter");
    await until(async () => (await names()).join() === order.join() || await names(), `the order ${sort}`);
    expect(await page.getAttribute("[data-sort=symbol]", "aria-sort") === said, `aria-sort ${said}`, "another");
    expect(new URL(page.url()).searchParams.get("sort") === sort, `sort=${sort}`, page.url());
  }
  console.log("ok: sorts by a column and back");
}

/** The same address shows the same, in a window of its own. */
async function reloads(browser, base, page) {
  await page.click("[data-sort=change] button");
  await page.fill("#filter", "S2");
  await until(() => /filter=S2/.test(page.url()) || page.url(), "the search in the address");
  await until(async () => (await readRows(page)).every(({ symbol }) => symbol.includes("S2")) || countRows(page), "what was searched for");
  const shown = await countRows(page);
  const { search } = new URL(page.url());
  const { page: other, context } = await openDashboard(browser, base, search);
  await until(async () => (await countRows(other)) === shown || await countRows(other), `${shown} rows in the other window`);
  for (const [selector, what] of [["html", "theme"], ["body", "panel"]]) {
    const read = (one) => one.$eval(selector, ({ dataset }, name) => dataset[name], what);
    expect(await read(other) === await read(page), `the same ${what}`, await read(other));
  }
  expect(await other.inputValue("#filter") === "S2", "the search in its box", await other.inputValue("#filter"));
  expect(await other.inputValue("#symbols") === "sim:S2*,sim:S5-USD", "the symbols in theirs", await other.inputValue("#symbols"));
  expect(await other.getAttribute("[data-sort=change]", "aria-sort") === "descending", "the order", "another");
  const pressed = await other.textContent("#rate [aria-pressed=true]");
  expect(pressed === "real time", "the rate", pressed);
  await context.close();
  console.log("ok: the address brings the same layout");
}

/** An address that somebody wrote: the full name is found, what is not served is said. */
async function names(browser, base) {
  const { page, context, trouble } = await openDashboard(browser, base, "?instrument=S0-USD");
  await queryBecomes(page, "?instrument=sim:S0-USD");
  await openedBecomes(page, "sim:S0-USD");
  await until(async () => (await page.textContent("#view-state")) === "live" || page.textContent("#view-state"), "a live view");
  expect(await page.isHidden("#view-failure"), "no failure", await page.textContent("#view-failure"));
  for (const [instrument, why] of [["sim:NOPE", /unknown.*4404/], ["sim:S*", /a pattern/]]) {
    await page.goto(`${base}/?instrument=${instrument}`);
    await until(async () => why.test(await page.textContent("#view-failure")) || page.textContent("#view-failure"), `why ${instrument} is not served`);
    expect(await page.textContent("#view-state") === "not served", "not served", await page.textContent("#view-state"));
  }
  noTrouble(trouble);
  await context.close();
  console.log("ok: a name without a venue becomes full, and the view says why one is not served");
}

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const { page, trouble } = await openDashboard(browser, base);
  await liveRows(page, INSTRUMENTS);
  const { instruments } = await (await fetch(`${base}/v1/instruments`)).json();
  const symbols = instruments.map(({ symbol }) => symbol);
  const rows = (await readRows(page)).map(({ symbol }) => symbol);
  expect(rows.join() === symbols.slice(0, rows.length).join(), "the service's order", rows.slice(0, 5));
  await moves(page, symbols);
  await opens(page, symbols);
  await searches(page, symbols);
  await switches(page);
  await sorts(page);
  await reloads(browser, base, page);
  await names(browser, base);
  noTrouble(trouble);
});
