// The packed SDK in an empty project, installed without a network: the five lines run, the documents are true.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { needsBrowser, openPage, serveFiles } from "./chromium.mjs";
import { eventually, needsService, startService } from "./service.mjs";

const run = promisify(execFile);
const here = fileURLToPath(new URL("..", import.meta.url));
const modules = join(here, "node_modules");
const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");

let folder;
let project;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "tickcast-pack-"));
  project = join(folder, "project");
  await mkdir(project);
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: here });
  const [tarball] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(folder, tarball)], { cwd: project });
});
after(() => rm(folder, { recursive: true, force: true }));

/** The code blocks of a document, by language. */
async function blocks(path, language) {
  const text = await readFile(join(here, path), "utf8");
  return [...text.matchAll(/```(\w+)\n([\s\S]*?)```/g)].filter(([, name]) => name === language).map(([, , code]) => code);
}

/** The recorded venue whose symbol the five lines name, where this machine has it; else the simulator. */
async function market(t) {
  const feeds = process.env.TICKCAST_FEEDS ?? join(here, "../../../shared/feeds");
  const recording = join(feeds, "recordings/coinbase_advanced_2sym_24s.rec.gz");
  if (existsSync(recording)) return [await startService(t, ["--replay", recording, "--replay-loop"]), "coinbase:BTC-USD"];
  if (process.env.CI === "true") throw new Error(`there is no ${recording}`);
  console.error(`NOT TESTED with the recorded market: there is no ${recording}`);
  return [await startService(t), "sim:S0-USD"];
}

/** Runs a program of the project until it has printed a line that matches. */
async function printed(t, file, pattern) {
  const child = spawn(process.execPath, [file], { cwd: project, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill());
  const lines = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const line = await eventually(() => lines.find((one) => pattern.test(one)), `a line like ${pattern}`);
  child.kill();
  return line;
}

test("the tarball has what is needed and nothing else", async () => {
  const installed = join(project, "node_modules/tickcast");
  assert.deepEqual((await readdir(installed)).sort(), ["README.md", "dist", "package.json"]);
  assert.deepEqual(await readdir(join(project, "node_modules")).then((all) => all.filter((name) => !name.startsWith("."))), ["tickcast"]);
  const { dependencies } = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
  assert.equal(dependencies, undefined);
});

test("the five lines run as they are: without ws by event streams, with it by WebSocket", needsService, async (t) => {
  const [service, symbol] = await market(t);
  const [lines] = await blocks("README.md", "js");
  assert.ok(lines.includes("ws://127.0.0.1:8080") && lines.includes("coinbase:BTC-USD"));
  const code = lines.replace("ws://127.0.0.1:8080", service.url).replace("coinbase:BTC-USD", symbol);
  await writeFile(join(project, "five.mjs"), `const render = (...values) => console.log(...values, tick.connection.transport);\n${code}`);
  const hasGlobal = globalThis.WebSocket !== undefined;
  const expected = (transport) => new RegExp(`^${symbol} [\\d.]+ live ${transport}$`);
  await printed(t, "five.mjs", expected(hasGlobal ? "websocket" : "sse"));
  await symlink(join(modules, "ws"), join(project, "node_modules/ws"));
  await printed(t, "five.mjs", expected("websocket"));
});

test("the five lines and every TypeScript block of the documents compile under --strict", async () => {
  const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--target", "es2022",
    "--module", "nodenext", "--lib", "es2022,dom,dom.iterable", "--jsx", "react-jsx", "--types", "", "--skipLibCheck", "false"];
  const [lines] = await blocks("README.md", "js");
  const files = { "five.mts": `declare const render: (symbol: string, last: string | null | undefined, state: string) => void;\n${lines}` };
  for (const [language, ending] of [["ts", "mts"], ["tsx", "tsx"]]) {
    for (const [at, code] of (await blocks("../../docs/javascript.md", language)).entries()) files[`block-${at}.${ending}`] = code;
  }
  assert.ok(Object.keys(files).length > 8, "the documents have blocks");
  for (const [name, code] of Object.entries(files)) await writeFile(join(project, name), code);
  await mkdir(join(project, "node_modules/@types"), { recursive: true });
  for (const name of ["react", "react-dom", "@types/react", "@types/react-dom", "csstype"]) {
    await symlink(join(modules, name), join(project, "node_modules", name));
  }
  await run(process.execPath, [tsc, ...options, ...Object.keys(files)], { cwd: project })
    .catch(({ stdout }) => assert.fail(stdout));
});

test("the documents' programs for Node run", needsService, async (t) => {
  const service = await startService(t);
  const programs = await blocks("../../docs/javascript.md", "js");
  assert.ok(programs.length > 0);
  for (const [at, code] of programs.entries()) {
    await writeFile(join(project, `program-${at}.mjs`), code.replaceAll("ws://127.0.0.1:8080", service.url));
    await printed(t, `program-${at}.mjs`, /sim:S\d+-USD.*\d/);
  }
});

test("the page of the document is a live table", needsBrowser, async (t) => {
  const service = await startService(t, ["--sim-instruments", "6"]);
  const [code] = await blocks("../../docs/javascript.md", "html");
  await writeFile(join(project, "index.html"), code.replace("ws://127.0.0.1:8080", service.url));
  const files = await serveFiles(t, project);
  const { page, problems } = await openPage(t);
  await page.goto(`${files}/`);
  const rows = () => page.$$eval("#table tr", (list) => list.map((row) => [...row.cells].map((cell) => cell.textContent)));
  const shown = await eventually(async () => {
    const list = await rows();
    return list.length === 6 && list.every((cells) => cells.at(-1) === "live") && list;
  });
  assert.match(shown[0].join(" "), /^sim:S\d-USD [\d.]+ [\d.]+ [\d.]+ live$/);
  assert.deepEqual(problems, []);
});
