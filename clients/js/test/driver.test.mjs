// The conformance script's driver keeps its contract.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { eventually, makeSecret, needsService, startService } from "./service.mjs";

const driver = fileURLToPath(new URL("../conformance/driver.mjs", import.meta.url));

function drive(t, env) {
  const child = spawn(process.execPath, [driver], { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, ended: once(child, "exit"), line: async () => (await lines.next()).value };
}

test("the driver subscribes, tells what it holds and ends in order, in each encoding", needsService, async (t) => {
  const secret = await makeSecret(t);
  const service = await startService(t, ["--sim-instruments", "4", "--sim-rate", "30", "--auth-secret", secret.file]);
  let asked = 0;
  const tokens = createServer(async (_, response) => {
    asked += 1;
    response.end(`${await secret.token()}\n`);
  });
  tokens.listen(0, "127.0.0.1");
  await once(tokens, "listening");
  t.after(() => tokens.closeAllConnections() ?? tokens.close());
  const bearer = await secret.token();
  const subscriptions = [
    { channel: "ticker", symbol: ["sim:*"], max_rate: 4, fields: ["last", "bid_size"] }, { channel: "trades", symbol: ["sim:S0-USD"] },
    { channel: "book", symbol: "sim:S0-USD", depth: 25 }, { channel: "bars", symbol: ["sim:S0-USD"], interval: "1s" },
  ];
  for (const encoding of ["json", "protobuf", "sse"]) {
    const { child, ended, line } = drive(t, {
      TICKCAST_URL: service.url, TICKCAST_ENCODING: encoding, TICKCAST_SUBSCRIPTIONS: JSON.stringify(subscriptions),
      TICKCAST_TOKEN_URL: `http://127.0.0.1:${tokens.address().port}`,
    });
    assert.equal(await line(), "ready");
    await eventually(async () => {
      child.stdin.write("state\n");
      const state = JSON.parse(await line());
      const { connection, status, ticker, trades, book, bars } = state;
      assert.deepEqual(Object.keys(state), ["connection", "status", "ticker", "book", "trades", "bars"]);
      assert.deepEqual(connection, {
        state: "live", transport: encoding === "sse" ? "sse" : "websocket", encoding: encoding === "protobuf" ? "protobuf" : "json",
        reconnects: 0, resyncs: 0, checksum_failures: 0, missed_trades: 0,
      });
      const [its] = await fetch(`${service.http}/v1/snapshot?channel=book&symbol=sim:S0-USD&depth=25`, {
        headers: { authorization: `Bearer ${bearer}` },
      }).then((response) => response.json()).then(({ data }) => data);
      const { ts_publish: _, ...item } = its;
      assert.deepEqual(book["sim:S0-USD"], item);
      assert.deepEqual(Object.keys(ticker).sort(), ["sim:S0-USD", "sim:S1-USD", "sim:S2-USD", "sim:S3-USD"]);
      assert.deepEqual(Object.keys(ticker["sim:S0-USD"]), ["symbol", "epoch", "seq", "state", "last", "bid_size", "ts_event"]);
      assert.equal(status["sim:S3-USD"], "live");
      assert.ok(trades["sim:S0-USD"].trades.length > 0 && bars["sim:S0-USD"]["1s"].bars.length > 0);
      return true;
    });
    if (encoding === "json") child.stdin.end();
    else child.stdin.write("stop\n");
    assert.deepEqual(await ended, [0, null]);
  }
  assert.equal(asked, 3);
});

test("the driver says what it cannot do", async (t) => {
  const { ended, line } = drive(t, { TICKCAST_URL: "ws://127.0.0.1:1", TICKCAST_ENCODING: "morse" });
  assert.equal(await line(), "unsupported morse");
  assert.deepEqual(await ended, [3, null]);
});
