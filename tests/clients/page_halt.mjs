// A halt: while the venue is in maintenance its instrument is `halted` in the watchlist and in the
// view, its prices stay and do not look live; afterwards it is live again.
//
// usage: node page_halt.mjs --recording FILE   writes the recording that is needed
//        node page_halt.mjs BASE_URL
// expects: `tickcast serve --replay FILE --replay-loop` with that recording: it goes from live to
// halted and back for as long as somebody looks.

import { writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { withBrowser } from "./chromium.mjs";
import { noTrouble, openDashboard, readRows, until } from "./dashboard.mjs";
import { bookChecksum, expect } from "./witness.mjs";

const DEADLINE_MS = 170_000;
const SYMBOL = "kraken:BTC-USD";
/** Seconds of the recording: online, in maintenance, online. */
const HALT_AT = 6;
const RESUME_AT = 12;
const SECONDS = 18;
const BEGIN_NS = 1_785_600_000_000_000_000n;

const LEVELS = Array.from({ length: 10 }, (_, at) => ({
  bid: [(68_900 - at * 0.5).toFixed(1), (1 + at / 10).toFixed(8)],
  ask: [(68_900.5 + at * 0.5).toFixed(1), (1.5 + at / 10).toFixed(8)],
}));

/** What Kraken (WebSocket version 2) sends, numbers with their padding. */
function messages() {
  const list = [];
  const at = (second, kind, payload) => list.push({ second, kind, payload });
  const system = (second, word) => at(second, "recv", JSON.stringify({
    channel: "status", type: "update",
    data: [{ version: "2.0.10", system: word, api_version: "v2", connection_id: 1 }],
  }));
  const side = (name) => LEVELS.map((level) => `{"price":${level[name][0]},"qty":${level[name][1]}}`).join(",");
  const checksum = bookChecksum({ bids: LEVELS.map(({ bid }) => bid), asks: LEVELS.map(({ ask }) => ask) });
  const [{ bid, ask }] = LEVELS;
  const ticker = (second, type, last) => at(second, "recv",
    `{"channel":"ticker","type":"${type}","data":[{"symbol":"BTC/USD","bid":${bid[0]},"bid_qty":${bid[1]},"ask":${ask[0]},"ask_qty":${ask[1]},`
    + `"last":${last},"volume":1023.50000000,"vwap":68000.0,"low":67000.0,"high":69500.0,"change":900.0,"change_pct":1.32}]}`);
  at(0, "open", "wss://ws.kraken.com/v2");
  system(0, "online");
  at(0, "recv", `{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[${side("bid")}],"asks":[${side("ask")}],"checksum":${checksum}}]}`);
  ticker(0, "snapshot", "68900.0");
  for (let second = 1; second < SECONDS; second += 1) {
    at(second, "recv", '{"channel":"heartbeat"}');
    if (second === HALT_AT) system(second, "maintenance");
    else if (second === RESUME_AT) system(second, "online");
    else if (second < HALT_AT || second > RESUME_AT) ticker(second, "update", (68_900 + second / 2).toFixed(1));
  }
  return list;
}

async function record(file) {
  const lines = messages().map(({ second, kind, payload }) =>
    `${BEGIN_NS + BigInt(second) * 1_000_000_000n}\t0\t${kind}\t${payload}`);
  await writeFile(file, gzipSync(`#tickcast-recording v1 venue=kraken clock=unix\n${lines.join("\n")}\n`));
  console.log(`ok: ${lines.length} lines in ${file}`);
}

async function becomes(page, state) {
  await until(async () => {
    const [row] = await readRows(page);
    const [view, badge] = await page.evaluate(() => [
      document.getElementById("view").dataset.state, document.getElementById("view-state").textContent]);
    const isShown = row?.state === state && row.badge === state && view === state && badge === state;
    return isShown || { row, view, badge };
  }, `${SYMBOL} ${state} in watchlist and view`, 60_000);
}

const colorOfLast = (page) => page.$eval("#rows .row:not([hidden]) .c-last", (cell) => getComputedStyle(cell).color);

const [first, file] = process.argv.slice(2);
if (first === "--recording") {
  await record(file);
} else {
  await withBrowser(DEADLINE_MS, async (browser) => {
    const { page, trouble } = await openDashboard(browser, first, `?instrument=${SYMBOL}`);
    await becomes(page, "live");
    const colorLive = await colorOfLast(page);
    await becomes(page, "halted");
    const [row] = await readRows(page);
    expect(/^689\d\d\.\d$/.test(row.last) && row.symbol === SYMBOL, "its last price, still shown", row);
    expect(await colorOfLast(page) !== colorLive, "a price that does not look live", colorLive);
    console.log("ok: halted in watchlist and view");
    await becomes(page, "live");
    console.log("ok: live again");
    noTrouble(trouble);
  });
}
