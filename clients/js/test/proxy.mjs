// A proxy before the real service, for what only a network does: it blocks WebSockets, cuts, falls silent.

import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { HOST } from "./service.mjs";

export async function startProxy(t, port) {
  const proxy = { blocksWebSockets: false, swallowsWebSockets: false, isSilent: false, upgrades: 0, url: "", sockets: new Set() };
  const server = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming;
    const asked = request({ host: HOST, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    asked.on("error", () => outgoing.destroy());
    outgoing.on("close", () => asked.destroy());
    asked.end();
  });
  server.on("upgrade", (incoming, socket, head) => {
    proxy.upgrades += 1;
    socket.on("error", () => {});
    if (proxy.blocksWebSockets) {
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const to = connect(port, HOST, () => {
      const lines = [];
      for (let i = 0; i < incoming.rawHeaders.length; i += 2) lines.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`);
      to.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      to.write(head);
      socket.pipe(to);
      if (proxy.swallowsWebSockets) {
        // They open, and nothing comes through.
        to.once("data", (bytes) => socket.write(bytes.subarray(0, bytes.indexOf("\r\n\r\n") + 4)));
        return;
      }
      to.on("data", (bytes) => proxy.isSilent || socket.write(bytes));
    });
    to.on("error", () => socket.destroy());
    to.on("close", () => socket.destroy());
    socket.on("close", () => to.destroy());
    proxy.sockets.add(socket);
  });
  server.on("connection", (socket) => {
    proxy.sockets.add(socket);
    socket.on("close", () => proxy.sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy.cut = () => proxy.sockets.forEach((socket) => socket.destroy());
  t.after(() => {
    server.close();
    proxy.cut();
  });
  proxy.url = `ws://127.0.0.1:${server.address().port}`;
  return proxy;
}
