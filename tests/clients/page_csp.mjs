// The content policy: the service sends a strict one, the page lives by it in every part, and
// nothing is asked of another origin.
//
// usage: node page_csp.mjs BASE_URL
// expects: a service with the simulator.

import { withBrowser } from "./chromium.mjs";
import { everyRow, noTrouble, openDashboard, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const NEEDED = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "worker-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"];

async function policy(base) {
  const answer = await fetch(`${base}/`);
  const text = answer.headers.get("content-security-policy") ?? "";
  const directives = text.split(";").map((one) => one.trim());
  for (const one of NEEDED) expect(directives.includes(one), one, text);
  expect(!/unsafe|\*|https?:/.test(text), "nothing unsafe, nobody else", text);
  console.log("ok: a strict policy");
}

/** Goes through the whole page, so that everything is loaded that it may load. */
async function visit(page) {
  await everyRow(page, "live");
  await page.click("#rows .row:not([hidden])");
  await until(async () => (await page.locator("#chart canvas").count()) > 0 || "no canvas", "a chart");
  await until(async () => (await page.locator("#ladder .level").count()) > 2 || "no levels", "a book");
  await page.mouse.move(900, 400);
  for (const interval of ["1s", "5m", "1h", "1m"]) await page.click(`#interval >> text=${interval}`);
  for (const depth of ["25", "100", "500", "10"]) await page.click(`#depth >> text="${depth}"`);
  for (const key of ["d", "Escape", "t", "t", "t", "c", "c", "?", "Escape", "1", "3"]) await page.keyboard.press(key);
  await page.click("#encoding >> text=protobuf");
  await until(async () => (await page.textContent("#figure-transport")) === "websocket, protobuf"
    || page.textContent("#figure-transport"), "protobuf agreed to");
  await everyRow(page, "live");
  await page.click("#encoding >> text=JSON");
  await until(async () => (await page.textContent("#figure-transport")) === "websocket, json"
    || page.textContent("#figure-transport"), "JSON agreed to");
  await everyRow(page, "live");
}

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  await policy(base);
  const { page, context, trouble } = await openDashboard(browser, base, "?panel=open");
  await visit(page);
  noTrouble(trouble);
  await context.close();
  console.log("ok: no refusal, no error, nothing from elsewhere, in both encodings");
});
