// The SDK in a browser: every transport and encoding from a page of another origin, as pages mostly are.

import assert from "node:assert/strict";
import { test } from "node:test";
import { needsBrowser, openPage, serveFiles } from "./chromium.mjs";
import { eventually, makeSecret, startService } from "./service.mjs";

test("every transport and encoding serves a page, with a token", needsBrowser, async (t) => {
  const secret = await makeSecret(t);
  const service = await startService(t, ["--sim-instruments", "5", "--sim-rate", "100", "--auth-secret", secret.file]);
  const token = await secret.token();
  const files = await serveFiles(t);
  const { page, problems } = await openPage(t);
  await page.goto(`${files}/examples/browser/?url=ws://127.0.0.1:1`);
  for (const [transport, encoding] of [["websocket", "json"], ["websocket", "protobuf"], ["sse", "json"]]) {
    await page.evaluate(async ([url, transport, encoding, token]) => {
      const { connect } = await import("/clients/js/dist/index.js");
      const { protobuf } = await import("/clients/js/dist/protobuf.js");
      window.tick = connect(url, { transport, encoding: encoding === "protobuf" ? protobuf : "json", token });
      window.tickers = tick.ticker("sim:*", { maxRate: 10 });
      window.book = tick.book("sim:S0-USD", { depth: 25 });
      window.frames = 0;
      tickers.onFrame(() => { frames += 1; });
    }, [service.url, transport, encoding, token]);
    const seen = await eventually(() => page.evaluate(async () => {
      const isLive = tickers.size === 5 && [...tickers.values()].every(({ state }) => state === "live");
      if (!isLive || book.get("sim:S0-USD") === undefined || frames < 5) return undefined;
      const instruments = await tick.instruments();
      const { transport, encoding, state } = tick.connection;
      tick.close();
      return { transport, encoding, state, instruments: instruments.length };
    }), `${transport} ${encoding}`);
    assert.deepEqual(seen, { transport, encoding, state: "live", instruments: 5 });
  }
  assert.deepEqual(problems, []);
});
