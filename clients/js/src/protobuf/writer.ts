// Writes the protobuf wire format into a buffer that grows.

const encoder = new TextEncoder();

export class Writer {
  #bytes = new Uint8Array(256);
  #length = 0;

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#length + more, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  /** An integer that a double holds exactly; a negative one as 64 bits of two's complement. */
  varint(value: number): void {
    this.#room(10);
    let rest = value < 0 ? BigInt.asUintN(64, BigInt(value)) : BigInt(value);
    while (rest >= 0x80n) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
  }

  #tag(field: number, type: number): void {
    this.varint(field * 8 + type);
  }

  integer(field: number, value: number): void {
    this.#tag(field, 0);
    this.varint(value);
  }

  double(field: number, value: number): void {
    this.#tag(field, 1);
    this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  #raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  string(field: number, text: string): void {
    const bytes = encoder.encode(text);
    this.#tag(field, 2);
    this.varint(bytes.length);
    this.#raw(bytes);
  }

  /** A message or a packed list. */
  message(field: number, write: (inner: Writer) => void): void {
    const inner = new Writer();
    write(inner);
    this.#tag(field, 2);
    this.varint(inner.#length);
    this.#raw(inner.#bytes.subarray(0, inner.#length));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}
