// Starts the Chromium that TICKCAST_CHROMIUM names (or /usr/bin/chromium), quiet and with a
// profile of its own.

import { createRequire } from "node:module";
import path from "node:path";

const folder = process.env.TICKCAST_NODE_PATH ?? "node_modules";
const { chromium } = createRequire(path.resolve(folder, "from-here.js"))("playwright-core");

/** A browser with a fresh profile, which playwright removes with it. */
export function launch(more = []) {
  return chromium.launch({
    executablePath: process.env.TICKCAST_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      // Tests run as root in containers, where Chromium's sandbox cannot start.
      "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
      // The certificates of tests sign themselves.
      "--ignore-certificate-errors",
      ...more,
    ],
  });
}

/** Runs `work(browser)`; fails in words, and at the latest after `deadlineMs`. `more` are arguments of Chromium. */
export async function withBrowser(deadlineMs, work, more) {
  const late = setTimeout(() => {
    console.error("FAILED: not done in time");
    process.exit(1);
  }, deadlineMs);
  let browser = null;
  try {
    browser = await launch(more);
    await work(browser);
  } catch (error) {
    console.error(`FAILED: ${error.stack ?? error}`);
    await browser?.close();
    process.exit(1);
  }
  await browser.close();
  clearTimeout(late);
}
