// A service that plays a script: for what the real one does rarely, or after a long time only.

import { once } from "node:events";
import { WebSocketServer } from "ws";
import { now } from "../dist/index.js";

/** `play(line, number)` gets each connection, with `say` for messages and `heard` for requests. */
export async function startScript(t, play) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", path: "/v1/ws" });
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const client of server.clients) client.terminate();
  });
  const script = { url: `ws://127.0.0.1:${server.address().port}`, openedAt: [] };
  server.on("connection", (socket) => {
    script.openedAt.push(now());
    const line = {
      socket,
      say: (message) => socket.send(typeof message === "string" ? message : JSON.stringify(message)),
      welcome: (more = {}) => line.say({ channel: "system", type: "welcome",
        data: [{ session: "s", version: "9", heartbeat_ms: 5000, auth_required: false, limits: {}, ...more }] }),
      heard: (method, answer) => socket.on("message", (text) => {
        const request = JSON.parse(text);
        if (request.method === method) answer(request);
      }),
      /** Grants whatever is asked for, with an empty snapshot of each name. */
      serve: (epoch = 1) => line.heard("subscribe", ({ req_id, params }) => {
        const { channel, symbol } = params;
        line.say({ method: "subscribe", req_id, success: true, result: { channel, symbol, globs: [], failed: [] } });
        for (const name of symbol) {
          line.say({ channel: "status", type: "snapshot", data: [{ symbol: name, epoch: 1, seq: 1, state: "live", ts_state: 1 }] });
          line.say({ channel, type: "snapshot", data: [{ symbol: name, epoch, seq: 1, state: "live", last: "1", ts_event: 1, ts_publish: 1 }] });
        }
      }),
    };
    play(line, script.openedAt.length);
  });
  return script;
}
