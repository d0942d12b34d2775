// Prints tickers: (cd clients/js && npm ci) && node examples/node/ticker.mjs ws://127.0.0.1:8080 'sim:*'
//
// With the package `ws` installed beside the SDK, or in Node 22, over WebSocket; else over server-sent events.

import { connect } from "../../clients/js/dist/index.js"; // In a project of your own: from "tickcast"

const [url = "ws://127.0.0.1:8080", ...symbols] = process.argv.slice(2);
const tick = connect(url, { token: process.env.TICKCAST_TOKEN });

tick.on("connection", ({ state, transport, reason }) => console.error(`${state} by ${transport}`, reason?.text ?? ""));
process.on("SIGINT", () => tick.close());

const tickers = tick.ticker(symbols.length > 0 ? symbols : "*", { maxRate: 4 });
tickers.on("failed", (symbol, { code, error }) => console.error(`${symbol}: ${error} (${code})`));

for await (const { symbol, state, last, bid, ask } of tickers) {
  console.log(symbol.padEnd(24), state.padEnd(8), `last ${last}`, `bid ${bid}`, `ask ${ask}`);
}
