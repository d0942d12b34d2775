// The binary encoding: `import { protobuf } from "tickcast/protobuf"`, then `connect(url, { encoding: protobuf })`.
//
// A hand-written codec for `tickcast.v1.protobuf`; bytes become the very messages that JSON says, so
// that nothing else of the SDK knows which encoding there is.

import { readAnswer, readGoaway, readHeartbeat, readWelcome } from "./protobuf/answers.js";
import { DataReader } from "./protobuf/data.js";
import { Reader } from "./protobuf/reader.js";
import { writeRequest } from "./protobuf/requests.js";
import type { Codec, CodecConnection } from "./types.js";
import type { Request } from "./wire.js";

class ProtobufConnection implements CodecConnection {
  readonly #data = new DataReader();

  /** @throws RangeError for bytes that are no protobuf. */
  decode(bytes: Uint8Array): unknown {
    const reader = new Reader(bytes);
    let message: unknown = {};
    while (reader.next()) {
      const read = this.#readers[reader.field];
      if (read === undefined || reader.type !== 2) {
        reader.pass(); // Something newer than this.
        continue;
      }
      const outer = reader.enter();
      message = read(reader);
      reader.leave(outer);
    }
    return message;
  }

  readonly #readers: readonly (((reader: Reader) => object) | undefined)[] = [
    undefined,
    (reader) => this.#data.ticker(reader),
    (reader) => this.#data.book(reader),
    (reader) => this.#data.trades(reader),
    (reader) => this.#data.bars(reader),
    (reader) => this.#data.status(reader),
    readHeartbeat,
    readAnswer,
    readWelcome,
    readGoaway,
  ];

  encode(request: unknown): Uint8Array<ArrayBuffer> {
    return writeRequest(request as Request);
  }
}

export const protobuf: Codec = {
  name: "protobuf",
  subprotocol: "tickcast.v1.protobuf",
  connection: () => new ProtobufConnection(),
};
