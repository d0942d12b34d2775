// The real service, started for a test. Its binary is named by TICKCAST_BIN.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const bin = process.env.TICKCAST_BIN;

/** Where services listen: an address of the loopback network that no other process uses, so that a port
 * to which one comes back is still free. */
export const HOST = `127.${64 | ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${process.pid & 255}`;

/** What tests that need the service are registered with. */
export const needsService = { skip: false, timeout: 300_000 };
if (bin === undefined) {
  const why = "TICKCAST_BIN does not name the service's binary";
  if (process.env.CI === "true") throw new Error(why);
  console.error(`NOT TESTED against the service: ${why}`);
  needsService.skip = why;
}

/** Waits until `check` gives something true, or throws what it threw last. */
export async function eventually(check, what = "the condition", withinMs = 60_000) {
  const until = Date.now() + withinMs;
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > until) throw last ?? new Error(`${what} was not so within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Resolves with the values of the first event that `matches`. */
export const event = (source, name, matches = () => true) => new Promise((resolve) => {
  const end = source.on(name, (...values) => {
    if (!matches(...values)) return;
    end();
    resolve(values);
  });
});

/** Starts the service, and waits until it knows its instruments; `port` where it has to be the same as before. */
export async function startService(t, args = [], port = 0) {
  const child = spawn(bin, ["serve", "--listen", `${HOST}:${port}`, "--admin", "127.0.0.1:0", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  const log = [];
  const stop = async (signal = "SIGKILL") => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
  };
  t.after(() => stop());
  const listening = new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        log.push(line);
        const found = /listening on http:\/\/[\d.]+:(\d+) admin (http:\S+)/.exec(line);
        if (found) resolve([Number(found[1]), found[2]]);
      });
    }
    ended.then(() => reject(new Error(`the service ended:\n${log.join("\n")}`)));
  });
  const [bound, admin] = await listening;
  const http = `http://${HOST}:${bound}`;
  await eventually(async () => (await fetch(`${admin}/readyz`)).ok, "the list of instruments");
  // Those of a recording become live as it goes on.
  if (!args.includes("--replay")) await eventually(() => areLive(http), "live instruments");
  return { port: bound, startedAt: Date.now(), http, url: `ws://${HOST}:${bound}`, log, stop, child };
}

/** Whether all instruments are live; who asks for tokens does not say. */
async function areLive(http) {
  const response = await fetch(`${http}/v1/instruments`);
  if (response.status === 401) return true;
  return (await response.json()).instruments.every(({ state }) => state === "live");
}

/** A secret in a file, and tokens that it signs. */
export async function makeSecret(t) {
  const folder = await mkdtemp(join(tmpdir(), "tickcast-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "secret");
  await writeFile(file, "0123456789abcdef0123456789abcdef", { mode: 0o600 });
  const token = async (...args) => {
    const { stdout } = await promisify(execFile)(bin, ["token", "--auth-secret", file, ...args]);
    return stdout.trim();
  };
  return { file, token };
}

/** What the service itself says. */
export async function snapshot(http, channel, symbols, more = "") {
  const response = await fetch(`${http}/v1/snapshot?channel=${channel}&symbol=${symbols}${more}`);
  const message = await response.json();
  assert.equal(response.status, 200, JSON.stringify(message));
  return message.data;
}
