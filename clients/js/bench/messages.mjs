// What a message costs: ticker updates of 500 instruments, decoded, applied and told: CPU time.
//
//   node bench/messages.mjs

import { readFile } from "node:fs/promises";
import { Desk } from "../test/desk.mjs";
import { protobuf } from "../dist/protobuf.js";

const INSTRUMENTS = 500;
const MESSAGES = 500_000;

const symbol = (n) => `coinbase:S${n}-USD`;
const texts = Array.from({ length: INSTRUMENTS * 4 }, (_, i) => {
  const [n, step] = [i % INSTRUMENTS, Math.floor(i / INSTRUMENTS)];
  return (seq) => `{"channel":"ticker","type":"update","data":[{"symbol":"${symbol(n)}","epoch":7249421,"prev":${seq - 1},"seq":${seq},"bid":"6890${step}.00","bid_size":"0.${seq % 9}1000000","ts_event":1770123456889012,"ts_publish":1770123456889100}]}`;
});

/** CPU time of this process, in nanoseconds: other programs on the machine do not count. */
function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

function measure(name, messages, decode) {
  const desk = new Desk();
  let told = 0;
  desk.subscribe("ticker", ["coinbase:*"], {}, () => { told += 1; });
  desk.grant(desk.connect()[0]);
  const fields = Object.fromEntries(["last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume"].map((field) => [field, "1.00"]));
  for (let n = 0; n < INSTRUMENTS; n++) desk.ticker(symbol(n), 7249421, 0, fields);
  told = 0;
  const began = cpu();
  for (const message of messages) desk.session.data(decode(message), 1);
  const both = (cpu() - began) / messages.length;
  if (told !== messages.length) throw new Error(`${told} of ${messages.length} were told`);
  const again = cpu();
  for (const message of messages) decode(message);
  const decoding = (cpu() - again) / messages.length;
  console.log(`${name.padEnd(10)} ${(both / 1000).toFixed(2)} µs a message, of which decoding ${(decoding / 1000).toFixed(2)} µs`);
}

const json = Array.from({ length: MESSAGES }, (_, i) => texts[i % texts.length](Math.floor(i / INSTRUMENTS) + 1));
measure("json", json, JSON.parse);

// The same shape from the golden vectors: an opening, then its update again and again, at one instrument.
const golden = JSON.parse(await readFile(new URL("../../golden/v1.json", import.meta.url), "utf8")).messages;
const bytes = (one) => Uint8Array.from(Buffer.from(one.protobuf, "hex"));
const connection = protobuf.connection();
golden.filter(({ json: { channel } }) => channel === "ticker").forEach((one) => connection.decode(bytes(one)));
const update = bytes(golden.find(({ json: { channel, type } }) => channel === "ticker" && type === "update"));
const began = cpu();
for (let i = 0; i < MESSAGES; i++) connection.decode(update);
console.log(`protobuf   decoding ${((cpu() - began) / MESSAGES / 1000).toFixed(2)} µs a message`);
