// A page of another origin in Chromium, with a token in a header: it reads data where it may, and
// why where it may not; a page that is not let in reads nothing.
//
// usage: node browser_cors.mjs BASE_URL TOKEN
// expects: a service with `--auth-secret FILE` and `--allow-origin http://desk.example`; a token of
// it that is entitled to `sim:*`.

import { withBrowser } from "./chromium.mjs";
import { expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;

/** The pages are made up here: no address says that they are as near as the service. */
const FROM_ANYWHERE = ["--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"];

/** A page of that origin, which nobody has to serve. */
async function pageAt(browser, origin) {
  const page = await (await browser.newContext()).newPage();
  await page.route(`${origin}/**`, (route) => route.fulfill({ contentType: "text/html", body: "<title>desk</title>" }));
  await page.goto(`${origin}/`);
  return page;
}

/** What `fetch` there comes to: the status with the beginning of the body, or that it failed. */
const ask = (page, url, token) => page.evaluate(async ([url, token]) => {
  const stop = new AbortController();
  try {
    const headers = token === null ? {} : { authorization: `Bearer ${token}`, "last-event-id": "1-1" };
    const response = await fetch(url, { headers, signal: stop.signal });
    const { value } = await response.body.pipeThrough(new TextDecoderStream()).getReader().read();
    stop.abort();
    return `${response.status} ${value}`;
  } catch (error) {
    return error.name;
  }
}, [url, token]);

const [base, token] = process.argv.slice(2);
await withBrowser(DEADLINE_MS, async (browser) => {
  const desk = await pageAt(browser, "http://desk.example");
  const other = await pageAt(browser, "http://other.example");
  for (const [target, shown, wanted] of [
    ["/v1/sse?channel=ticker&symbol=sim:S0-USD", token, /^200 event: system/],
    ["/v1/sse?channel=ticker&symbol=sim:S0-USD", null, /^401 .*"code":4401/],
    ["/v1/sse?channel=ticker&symbol=sim:S0-USD", "not.a.token", /^401 .*"code":4401/],
    ["/v1/sse?channel=ticker&symbol=sim:NOPE", token, /^404 .*sim:NOPE/],
    ["/v1/sse?channel=tikcer&symbol=sim:S0-USD", token, /^400 .*tikcer/],
    ["/v1/snapshot?channel=ticker&symbol=sim:S0-USD", token, /^200 .*"symbol":"sim:S0-USD"/],
    ["/v1/snapshot?channel=ticker&symbol=kraken:X", token, /^40[34] .*kraken:X/],
    ["/v1/instruments", null, /^401 .*"code":4401/],
  ]) {
    const name = `${target}${shown === null ? "" : " with a token"}`;
    const got = await ask(desk, base + target, shown);
    expect(wanted.test(got), `${name} is read`, got);
    expect(await ask(other, base + target, shown) === "TypeError", `${name} is not read by others`, "read");
  }
  console.log("ok: answers and refusals are read by the page that is let in alone");
}, FROM_ANYWHERE);
