// A proxy that understands messages loses, repeats, delays and cuts; what is held in the end is what the service says.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { test } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { itemOf } from "../conformance/items.mjs";
import { connect } from "../dist/index.js";
import { protobuf } from "../dist/protobuf.js";
import { eventually, HOST, needsService, snapshot, startService } from "./service.mjs";

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed) {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

/** What becomes of each message, once a connection has begun: `send`, and maybe not, twice, later; or `cut`. */
class Faults {
  isOn = true;
  lost = 0;
  repeated = 0;
  delayed = 0;
  cut = 0;
  url = "";
  #draw;

  constructor(seed) {
    this.#draw = random(seed);
  }

  pass(nth, send, cut) {
    const fate = this.isOn && nth > 3 ? this.#draw() : 1;
    if (fate < 0.03) this.lost += 1;
    else if (fate < 0.05) {
      this.repeated += 1;
      send();
      send();
    } else if (fate < 0.08) {
      this.delayed += 1;
      setTimeout(send, this.#draw() * 100);
    } else if (fate < 0.084) {
      this.cut += 1;
      cut();
    } else send();
  }
}

async function startSocketFaults(t, port, seed) {
  const faults = new Faults(seed);
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: ([first]) => first });
  await once(server, "listening");
  t.after(() => server.clients.forEach((client) => client.terminate()) ?? server.close());
  server.on("connection", (client, { url }) => {
    const service = new WebSocket(`ws://${HOST}:${port}${url}`, client.protocol || undefined);
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
      faults.pass(sent++, () => client.readyState === WebSocket.OPEN && client.send(message), () => client.terminate());
    });
    service.on("close", () => client.close());
    service.on("error", () => client.terminate());
    client.on("close", () => service.terminate());
    client.on("error", () => {});
  });
  faults.url = `ws://127.0.0.1:${server.address().port}`;
  return faults;
}

async function startEventFaults(t, port, seed) {
  const faults = new Faults(seed);
  const server = createServer((incoming, outgoing) => {
    const asked = request({ host: HOST, port, path: incoming.url, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      if (!incoming.url.startsWith("/v1/sse")) return void answer.pipe(outgoing);
      let text = "";
      let sent = 0;
      answer.setEncoding("utf8").on("data", (more) => {
        const events = (text + more).split("\n\n");
        text = events.pop();
        for (const event of events) faults.pass(sent++, () => outgoing.write(`${event}\n\n`), () => outgoing.destroy());
      });
      answer.on("close", () => outgoing.end());
    });
    asked.on("error", () => outgoing.destroy()).end();
    outgoing.on("error", () => {}).on("close", () => asked.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections() ?? server.close());
  faults.url = `http://127.0.0.1:${server.address().port}`;
  return faults;
}

for (const [name, start, encoding, seed] of [
  ["json", startSocketFaults, "json", 11], ["protobuf", startSocketFaults, protobuf, 12], ["events", startEventFaults, "json", 13],
]) {
  test(`faults of the line leave nothing wrong behind: ${name}`, needsService, async (t) => {
    const service = await startService(t, ["--sim-instruments", "8", "--sim-rate", "250"]);
    const faults = await start(t, service.port, seed);
    const tick = connect(faults.url, {
      encoding, transport: name === "events" ? "sse" : "websocket", verifyChecksums: true, backoffMs: { base: 20, max: 100 },
    });
    t.after(() => tick.close());
    tick.on("error", () => {});
    const names = ["sim:S0-USD", "sim:S1-USD", "sim:S2-USD"];
    const subs = [
      [tick.ticker("sim:*", { maxRate: 10 }), ["sim:*"], ""], [tick.book(names, { depth: 25 }), names, "&depth=25"],
      [tick.trades(names), names, ""], [tick.bars(names, { interval: "1s" }), names, "&interval=1s"],
    ];
    await eventually(() => faults.lost > 40 && faults.repeated > 20 && faults.delayed > 30 && faults.cut > 2, "enough faults");
    // The streams of one line may all be cut at once: it has come back from none of it yet.
    await eventually(() => tick.connection.resyncs > 0 && tick.connection.reconnects > 0, "what follows from them");
    faults.isOn = false;
    // The market goes on: each symbol is compared at a moment of its own.
    const every = (await snapshot(service.http, "ticker", "sim:*", "")).map((its) => its.symbol);
    assert.equal(every.length, 8);
    for (const [sub, patterns, more] of subs) {
      for (const symbol of patterns === names ? names : every) {
        await eventually(async () => {
          const [{ ts_publish: _, ...its }] = await snapshot(service.http, sub.channel, symbol, more);
          const view = sub.get(symbol);
          assert.ok(view, `${symbol} is held`);
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
          return true;
        }, `${sub.channel} of ${symbol}`);
      }
    }
    assert.equal(tick.connection.checksumFailures, 0);
  });
}
