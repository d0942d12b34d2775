// A service that wants a token: the page asks for one, says why it was not taken, and goes on with
// one that is; a token in the address is shown without asking.
//
// usage: node page_token.mjs BASE_URL TOKEN
// expects: a service with the simulator and `--auth-secret FILE`; a token of it that is entitled to `sim:*`.

import { withBrowser } from "./chromium.mjs";
import { everyRow, linkBecomes, openDashboard, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;

const formIsOpen = (page, isOpen) => until(async () =>
  (await page.$eval("#token", ({ open }) => open)) === isOpen || "otherwise", `the form ${isOpen ? "open" : "closed"}`);

async function give(page, token) {
  await page.fill("#token-text", token);
  await page.click("#token button");
}

const [base, token] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const { page, context } = await openDashboard(browser, base);
  await formIsOpen(page, true);
  await linkBecomes(page, "closed");
  await until(async () => {
    const why = await page.textContent("#link-detail");
    return (/to those who have a token/.test(why) && !/options/.test(why)) || why;
  }, "why, in a user's words");
  await give(page, "not.a.token");
  await formIsOpen(page, true);
  await until(async () => /It said:/.test(await page.textContent("#token-why")) || page.textContent("#token-why"), "why it was not taken");
  await give(page, token);
  await linkBecomes(page, "live");
  await everyRow(page, "live");
  await formIsOpen(page, false);
  await context.close();
  console.log("ok: asked, refused, accepted");

  const { page: other } = await openDashboard(browser, base, `#token=${token}`);
  await everyRow(other, "live");
  await formIsOpen(other, false);
  const { search } = new URL(other.url());
  expect(search === "", "no token in the query", search);
  console.log("ok: a token behind the hash");
});
