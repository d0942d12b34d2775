// Accessibility as far as axe-core can tell: nothing serious or critical, in both themes, on a desk
// and on a phone, with every part of the page open; and no phone is so narrow that a last price loses
// a digit.
//
// usage: node page_axe.mjs BASE_URL
// expects: a service with the simulator, 60 instruments.

import { createRequire } from "node:module";
import path from "node:path";
import { withBrowser } from "./chromium.mjs";
import { liveRows, openDashboard, until } from "./dashboard.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const INSTRUMENTS = 60;
const GRAVE = ["serious", "critical"];
const PHONE_WIDTHS = [390, 375, 360, 320];
const SIZES = [["desk", { width: 1440, height: 900 }], ["phone", { width: 390, height: 844 }]];

const { source } = createRequire(path.resolve(process.env.TICKCAST_NODE_PATH ?? "node_modules", "from-here.js"))("axe-core");

async function judge(page, what) {
  const violations = await page.evaluate(async () => (await globalThis.axe.run(document, { resultTypes: ["violations"] })).violations
    .map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.slice(0, 3).map(({ html, failureSummary }) => ({ html: html.slice(0, 160), failureSummary })) })));
  const grave = violations.filter(({ impact }) => GRAVE.includes(impact));
  expect(grave.length === 0, `nothing ${GRAVE.join(" or ")} in ${what}`, grave);
  const rest = violations.map(({ id, impact }) => `${id} (${impact})`).join(", ");
  console.log(`ok: ${what}${rest ? `; lesser: ${rest}` : ""}`);
}

/** On phones of all widths, over all rows. */
async function noDigitIsCut(page) {
  const { height } = page.viewportSize();
  for (const width of PHONE_WIDTHS) {
    await page.setViewportSize({ width, height });
    const { seen, cut } = await page.evaluate(async () => {
      const grid = document.getElementById("grid");
      const [seen, cut] = [new Set(), new Set()];
      for (let top = 0; top < grid.scrollHeight; top += grid.clientHeight / 2) {
        grid.scrollTop = top;
        await new Promise((drawn) => { requestAnimationFrame(() => requestAnimationFrame(drawn)); });
        for (const row of document.querySelectorAll("#rows .row:not([hidden])")) {
          const price = row.querySelector(".c-last .v");
          seen.add(row.querySelector(".name").textContent);
          if (price.scrollWidth > price.clientWidth) cut.add(price.textContent);
        }
      }
      return { seen: seen.size, cut: [...cut] };
    });
    expect(seen === INSTRUMENTS && cut.length === 0, `${INSTRUMENTS} whole prices on ${width} px`, { seen, cut });
  }
  await page.setViewportSize({ width: PHONE_WIDTHS[0], height });
  console.log(`ok: whole prices on ${PHONE_WIDTHS.join(", ")} px`);
}

/** Rows that are not live have colours of their own. The worker is ended first: nothing draws them anew. */
async function notLive(page, what) {
  await page.workers()[0].evaluate(() => globalThis.close());
  for (const state of ["stale", "halted", "closed"]) {
    await page.evaluate((state) => {
      for (const one of document.querySelectorAll("#rows .row, #view")) one.dataset.state = state;
      for (const badge of document.querySelectorAll(".badge")) badge.textContent = state;
    }, state);
    await judge(page, `${what}: ${state}`);
  }
}

const [base] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  for (const colorScheme of ["dark", "light"]) {
    for (const [size, viewport] of SIZES) {
      const { page, context } = await openDashboard(browser, base, "?panel=closed&interval=1s", { colorScheme, viewport });
      await liveRows(page, INSTRUMENTS);
      if (size === "phone") await noDigitIsCut(page);
      await page.evaluate(source);
      await judge(page, `${colorScheme}, ${size}: watchlist`);
      await page.keyboard.press("c");
      await page.click("#rows .row:not([hidden])");
      await until(async () => (await page.locator("#ladder .level").count()) > 5 || "no levels", "a book");
      await judge(page, `${colorScheme}, ${size}: instrument and panel`);
      await page.keyboard.press("d");
      await judge(page, `${colorScheme}, ${size}: details`);
      await page.keyboard.press("Escape");
      await page.keyboard.press("?");
      await judge(page, `${colorScheme}, ${size}: help`);
      await page.keyboard.press("Escape");
      await notLive(page, `${colorScheme}, ${size}`);
      await context.close();
    }
  }
});
