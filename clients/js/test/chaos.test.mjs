// A proxy that understands messages loses, repeats, delays and cuts; what is held in the end is what the service says.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { itemOf } from "../conformance/items.mjs";
import { connect } from "../dist/index.js";
import { protobuf } from "../dist/protobuf.js";
import { eventually, needsService, snapshot, startService } from "./service.mjs";

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed) {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

async function startFaults(t, port, seed) {
  const draw = random(seed);
  const faults = { isOn: true, lost: 0, repeated: 0, delayed: 0, cut: 0, url: "" };
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: ([first]) => first });
  await once(server, "listening");
  t.after(() => server.clients.forEach((client) => client.terminate()) ?? server.close());
  server.on("connection", (client, request) => {
    const service = new WebSocket(`ws://127.0.0.1:${port}${request.url}`, client.protocol || undefined);
    const early = [];
    let sent = 0;
    service.on("open", () => early.forEach((message) => service.send(message)));
    client.on("message", (data, isBinary) => {
      const message = isBinary ? data : String(data);
      if (service.readyState === WebSocket.OPEN) service.send(message);
      else early.push(message);
    });
    service.on("message", (data, isBinary) => {
      const message = isBinary ? data : String(data);
      const fate = faults.isOn && sent++ > 3 ? draw() : 1;
      if (fate < 0.03) faults.lost += 1;
      else if (fate < 0.05) {
        faults.repeated += 1;
        client.send(message);
        client.send(message);
      } else if (fate < 0.08) {
        faults.delayed += 1;
        setTimeout(() => client.readyState === WebSocket.OPEN && client.send(message), draw() * 100);
      } else if (fate < 0.084) {
        faults.cut += 1;
        client.terminate();
      } else client.send(message);
    });
    service.on("close", () => client.close());
    service.on("error", () => client.terminate());
    client.on("close", () => service.terminate());
    client.on("error", () => {});
  });
  faults.url = `ws://127.0.0.1:${server.address().port}`;
  return faults;
}

for (const [name, encoding, seed] of [["json", "json", 11], ["protobuf", protobuf, 12]]) {
  test(`faults of the line leave nothing wrong behind in ${name}`, needsService, async (t) => {
    const service = await startService(t, ["--sim-instruments", "8", "--sim-rate", "250"]);
    const faults = await startFaults(t, service.port, seed);
    const tick = connect(faults.url, {
      encoding, transport: "websocket", verifyChecksums: true, backoffMs: { base: 20, max: 100 },
    });
    t.after(() => tick.close());
    tick.on("error", () => {});
    const names = ["sim:S0-USD", "sim:S1-USD", "sim:S2-USD"];
    const subs = [
      [tick.ticker("sim:*", { maxRate: 10 }), ["sim:*"], ""], [tick.book(names, { depth: 25 }), names, "&depth=25"],
      [tick.trades(names), names, ""], [tick.bars(names, { interval: "1s" }), names, "&interval=1s"],
    ];
    await eventually(() => faults.lost > 40 && faults.repeated > 20 && faults.delayed > 30 && faults.cut > 2, "enough faults");
    faults.isOn = false;
    assert.ok(tick.connection.resyncs > 0 && tick.connection.reconnects > 0);
    for (const [sub, symbols, more] of subs) {
      await eventually(async () => {
        for (const { ts_publish: _, ...its } of await snapshot(service.http, sub.channel, symbols.join(","), more)) {
          const view = sub.get(its.symbol);
          assert.ok(view, `${its.symbol} is held`);
          const mine = itemOf(sub.channel, view);
          const list = { trades: "trades", bars: "bars" }[sub.channel];
          if (list !== undefined) {
            // What was lost while nobody knew of it is not there; the rest is.
            const held = new Set(mine[list].map((one) => JSON.stringify(one)));
            const shown = its[list].slice(-5).filter((one) => list === "bars" || one.seq > its.seq - 5);
            assert.ok(shown.every((one) => held.has(JSON.stringify(one))));
            delete mine[list];
            delete its[list];
          }
          assert.deepEqual(mine, its);
        }
        return true;
      }, sub.channel, 40_000);
    }
    assert.equal(tick.connection.checksumFailures, 0);
  });
}
