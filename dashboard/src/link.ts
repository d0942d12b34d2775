// The page's end of the worker that has the connection.

import type { Command, Report } from "./messages.js";

export class Link {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "tickcast" });

  constructor(hear: (report: Report) => void) {
    this.#worker.onmessage = ({ data }: MessageEvent<Report>) => hear(data);
    this.#worker.onerror = (event) => { throw new Error(`the connection's worker: ${event.message}`); };
  }

  tell(command: Command): void { this.#worker.postMessage(command); }
}
