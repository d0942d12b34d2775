// The book checksum: the CRC-32 that Kraken defines, over the best ten levels of each side.
//
// Asks from the lowest, then bids from the highest; of each level price, then size, each without
// the point and without leading zeros, all in one string.

import type { Level } from "./types.js";

/** How many levels a side the checksum covers. */
const LEVELS = 10;

const POINT = 46;
const ZERO = 48;
const MINUS = 45;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

function addNumber(crc: number, text: string): number {
  let isLeading = true;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === POINT || (isLeading && code === ZERO)) continue;
    if (code !== MINUS) isLeading = false;
    crc = (crc >>> 8) ^ (TABLE[(crc ^ code) & 0xff] ?? 0);
  }
  return crc;
}

function addSide(crc: number, side: readonly Level[]): number {
  const levels = Math.min(side.length, LEVELS);
  for (let i = 0; i < levels; i++) {
    const level = side[i];
    if (level !== undefined) crc = addNumber(addNumber(crc, level[0]), level[1]);
  }
  return crc;
}

/** The checksum of a book whose sides are given best first. Allocates nothing. */
export function bookChecksum(bids: readonly Level[], asks: readonly Level[]): number {
  return (addSide(addSide(0xffffffff, asks), bids) ^ 0xffffffff) >>> 0;
}
