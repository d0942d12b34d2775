// Opens examples/browser in Chromium from a server of static files, and prints what it shows each
// time that it changes, on one line.
// usage: node example_browser.mjs SERVICE_URL SYMBOL; runs until it is killed

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./chromium.mjs";

const KINDS = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript" };
const LOOK_MS = 50;

const root = fileURLToPath(new URL("../../", import.meta.url));
const [url, symbol] = process.argv.slice(2);

const server = createServer(async (request, response) => {
  const file = path.join(root, path.normalize(new URL(request.url, "http://a").pathname));
  try {
    const body = await readFile(file);
    response.setHeader("content-type", KINDS[path.extname(file)] ?? "application/octet-stream");
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((listening) => { server.listen(0, "127.0.0.1", listening); });

const browser = await launch();
const page = await browser.newPage();
page.on("pageerror", (error) => {
  console.error(`FAILED: ${error.stack}`);
  process.exit(1);
});
const query = new URLSearchParams({ url, symbols: symbol });
await page.goto(`http://127.0.0.1:${server.address().port}/examples/browser/index.html?${query}`);
let shown = "";
for (;;) {
  const text = (await page.innerText("body")).replaceAll(/\s+/g, " ");
  if (text !== shown) console.log(text);
  shown = text;
  await page.waitForTimeout(LOOK_MS);
}
