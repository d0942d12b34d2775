// The Chromium that TICKCAST_CHROMIUM names (or /usr/bin/chromium), and a server for files of the repository.

import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { needsService } from "./service.mjs";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
const executablePath = process.env.TICKCAST_CHROMIUM ?? "/usr/bin/chromium";

/** How long a busy machine may take for it. */
const PATIENCE_MS = 120_000;

export const needsBrowser = { ...needsService };
if (!existsSync(executablePath)) {
  const why = `there is no Chromium at ${executablePath}`;
  if (process.env.CI === "true") throw new Error(why);
  console.error(`NOT TESTED in a browser: ${why}`);
  needsBrowser.skip = why;
}

export async function openPage(t) {
  const browser = await chromium.launch({
    executablePath,
    timeout: PATIENCE_MS,
    // Tests run as root in containers, where Chromium's sandbox cannot start.
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  t.after(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  return { page, problems };
}

const KINDS = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css" };

/** Serves a folder's files, as `python3 -m http.server` does. */
export async function serveFiles(t, folder = root) {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    try {
      const bytes = await readFile(file);
      response.writeHead(200, { "content-type": KINDS[extname(file)] ?? "application/octet-stream" }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections() ?? server.close());
  return `http://127.0.0.1:${server.address().port}`;
}
