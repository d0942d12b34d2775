// The npm package `ws` against the service, and server-sent events as a plain HTTP client reads
// them. usage: node node_client.mjs BASE_URL; prints READY when the service may be stopped.

import { createRequire } from "node:module";
import path from "node:path";
import { Client, farewell, session } from "./session.mjs";
import { Fault, expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const EVENTS_PATIENCE_MS = 60_000;

const [base] = process.argv.slice(2);
const folder = process.env.TICKCAST_NODE_PATH ?? "node_modules";
const { WebSocket } = createRequire(path.resolve(folder, "from-here.js"))("ws");
const log = (text) => console.log(`ok: ${text}`);

/** Reads events until `enough(events)`. */
async function events(url, headers, enough) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), EVENTS_PATIENCE_MS);
  const seen = [];
  try {
    const answer = await fetch(url, { headers, signal: stop.signal });
    const type = answer.headers.get("content-type");
    expect(answer.ok && type?.startsWith("text/event-stream"), "an event stream", `${type}`);
    let text = "";
    for await (const bytes of answer.body.pipeThrough(new TextDecoderStream())) {
      text += bytes;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n").map((line) => line.split(/: ?(.*)/s, 2));
        const fields = Object.fromEntries(lines.filter(([name]) => name));
        if (fields.data) seen.push({ ...fields, message: JSON.parse(fields.data) });
      }
      if (enough(seen)) return seen;
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
  throw new Fault(`expected more events; saw ${JSON.stringify(seen).slice(0, 600)}`);
}

const tickers = (seen) => seen.filter(({ event }) => event === "ticker");

async function serverSentEvents() {
  const { instruments: [{ symbol }] } = await (await fetch(`${base}/v1/instruments`)).json();
  const url = `${base}/v1/sse?channel=ticker&symbol=${symbol}`;
  const seen = await events(url, {}, (seen) => tickers(seen).length >= 5);
  const statusAt = seen.findIndex(({ event }) => event === "status");
  const tickerAt = seen.findIndex(({ event }) => event === "ticker");
  expect(statusAt >= 0 && statusAt < tickerAt, "status before ticker", seen);
  expect(tickers(seen)[0].message.type === "snapshot", "a snapshot first", seen[tickerAt]);
  for (const { event, id, message } of seen) {
    const [item] = message.data ?? [];
    if (event === "ticker") expect(id === `${item.epoch}-${item.seq}`, "id epoch-seq", { id, item });
    else expect(id === undefined, "no id but on ticker events", { event, id });
  }
  const last = tickers(seen).at(-1);
  const again = await events(url, { "last-event-id": last.id }, (seen) => tickers(seen).length > 0);
  const [{ message }] = tickers(again);
  const held = last.message.data[0].seq;
  expect(message.type === "update" && message.data[0].prev === held, `prev ${held}`, message);
  log("server-sent events carry ids, and Last-Event-ID resumes them");
}

/** What `ws` shows and a browser hides: ping frames. */
async function pingFrame() {
  const client = await Client.open(WebSocket, base);
  let echoed = null;
  client.socket.on("pong", (bytes) => { echoed = bytes.toString(); });
  client.socket.ping("are you there");
  await client.request("ping");
  expect(echoed === "are you there", "the ping frame's bytes in a pong", echoed);
  await client.close();
  log("ping frames are answered");
}

setTimeout(() => {
  console.error("FAILED: not done in time");
  process.exit(1);
}, DEADLINE_MS).unref();

try {
  const env = { WebSocket, base, log };
  await pingFrame();
  await session(env);
  await serverSentEvents();
  await farewell(env, () => console.log("READY"));
  process.exitCode = 0;
} catch (error) {
  console.error(`FAILED: ${error instanceof Fault ? error.message : error.stack}`);
  process.exit(1);
}
