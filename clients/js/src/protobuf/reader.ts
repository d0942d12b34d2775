// Reads the protobuf wire format (protobuf.dev, "Encoding"): tags, varints, lengths.
//
// Integers of 64 bits are numbers where a double holds them exactly, and bigints where it does not.

export type Integer = number | bigint;

const TWO_32 = 2 ** 32;
const decoder = new TextDecoder();

/** A number where it is exact. */
export function settle(value: bigint): Integer {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

export function add(a: Integer, b: Integer): Integer {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return settle(BigInt(a) + BigInt(b));
}

export class Reader {
  at = 0;
  end: number;
  /** The field and the wire type that `next` has found. */
  field = 0;
  type = 0;
  /** The halves of the varint that was read last. */
  #low = 0;
  #high = 0;

  constructor(readonly bytes: Uint8Array) {
    this.end = bytes.length;
  }

  /** Moves to the next field; false at the end of the message that is read. */
  next(): boolean {
    if (this.at >= this.end) return false;
    const tag = this.uint32();
    this.field = tag >>> 3;
    this.type = tag & 7;
    return true;
  }

  /** @throws RangeError for what is longer than a varint can be, or cut. */
  #varint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= this.end) break;
      const byte = this.bytes[this.at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw new RangeError(`byte ${this.at}: a varint that does not end`);
  }

  uint32(): number {
    // Nearly all have one byte.
    const byte = this.at < this.end ? this.bytes[this.at] ?? 0x80 : 0x80;
    if (byte < 0x80) {
      this.at += 1;
      return byte;
    }
    this.#varint();
    return this.#low;
  }

  uint64(): Integer {
    this.#varint();
    const value = this.#high * TWO_32 + this.#low;
    return Number.isSafeInteger(value) ? value : (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  int64(): Integer {
    this.#varint();
    const high = this.#high | 0;
    const value = high * TWO_32 + this.#low;
    return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(this.#low);
  }

  /** Zigzag: the sign is in the lowest bit. */
  sint64(): Integer {
    this.#varint();
    const isNegative = (this.#low & 1) === 1;
    const low = ((this.#low >>> 1) | (this.#high << 31)) >>> 0;
    const high = this.#high >>> 1;
    const value = high * TWO_32 + low;
    if (Number.isSafeInteger(value)) return isNegative ? -value - 1 : value;
    const wide = (BigInt(high) << 32n) | BigInt(low);
    return isNegative ? -wide - 1n : wide;
  }

  bool(): boolean {
    return this.uint32() !== 0;
  }

  fixed32(): number {
    const at = this.#skip(4);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset).getUint32(at, true);
  }

  double(): number {
    const at = this.#skip(8);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset).getFloat64(at, true);
  }

  string(): string {
    const length = this.uint32();
    const at = this.#skip(length);
    return decoder.decode(this.bytes.subarray(at, at + length));
  }

  /** Enters a message (or a packed list); gives what `leave` needs. */
  enter(): number {
    const length = this.uint32();
    const outer = this.end;
    if (this.at + length > outer) throw new RangeError(`byte ${this.at}: ${length} bytes are not there`);
    this.end = this.at + length;
    return outer;
  }

  leave(outer: number): void {
    this.at = this.end;
    this.end = outer;
  }

  /** Passes over a field that is not known. */
  pass(): void {
    switch (this.type) {
      case 0: this.#varint(); break;
      case 1: this.#skip(8); break;
      case 2: this.#skip(this.uint32()); break;
      case 5: this.#skip(4); break;
      default: throw new RangeError(`byte ${this.at}: wire type ${this.type}`);
    }
  }

  #skip(length: number): number {
    const at = this.at;
    if (at + length > this.end) throw new RangeError(`byte ${at}: ${length} bytes are not there`);
    this.at = at + length;
    return at;
  }
}
