// Placements gathered into as few requests as possible, each as long as the service reads.

import type { Placement } from "./placements.js";
import type { Since, SubscribeParams } from "./wire.js";

/** How many names one request lists, and how many bytes it has at most whatever the service reads. */
const NAMES_MAX = 500;
const REQUEST_BYTES_MAX = 60 * 1024;

/** What one `since` entry takes beside the symbol: names, punctuation, two integers. */
const SINCE_BYTES = 64;
/** What a request takes beside names and `since`, generously. */
const FRAME_BYTES = 400;

/** A symbol's length in bytes of JSON with quotes and a comma, at most. */
const jsonBytes = (text: string): number => (/^[ !#-[\]-~]*$/.test(text) ? 1 : 6) * text.length + 3;

export interface Claim {
  readonly symbol: string;
  readonly since: Since;
}

/** Several placements with the same options. */
export class Batch {
  readonly placements: Placement[] = [];
  readonly claims: Claim[] = [];
  #bytes = FRAME_BYTES;

  constructor(readonly bytesMax: number) {}

  /** Whether it fits; one always does. */
  #hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= Math.min(this.bytesMax, REQUEST_BYTES_MAX);
  }

  /** Takes a placement with what it claims; false: it needs a request of its own. */
  add(placement: Placement, claims: readonly Claim[]): boolean {
    const name = jsonBytes(placement.pattern);
    const exact = claims.reduce((sum, claim) => sum + jsonBytes(claim.symbol) + SINCE_BYTES, 0);
    // A name goes where its claim goes. Of a glob as many claims are taken as fit: what is left
    // out comes as a snapshot, since a second request would come too late.
    const needed = placement.isGlob ? name : name + exact;
    if (this.placements.length > 0 && (this.placements.length >= NAMES_MAX || !this.#hasRoom(needed))) return false;
    this.placements.push(placement);
    this.#bytes += name;
    for (const claim of claims) this.claim(claim);
    return true;
  }

  /** Takes one more claim if it fits. */
  claim(claim: Claim): boolean {
    const bytes = jsonBytes(claim.symbol) + SINCE_BYTES;
    if (this.claims.length > 0 && !this.#hasRoom(bytes)) return false;
    this.claims.push(claim);
    this.#bytes += bytes;
    return true;
  }

  params(): SubscribeParams {
    const first = this.placements[0];
    if (first === undefined) throw new Error("a batch without placements");
    const symbol = this.placements.map((placement) => placement.pattern);
    const params: SubscribeParams = { channel: first.channel, symbol, ...first.wire };
    if (this.claims.length > 0) {
      params.since = Object.fromEntries(this.claims.map((claim) => [claim.symbol, claim.since]));
    }
    return params;
  }
}

/**
 * Batches of placements with equal options. Names go wherever there is room; globs only beside
 * their neighbours, since of two globs the one that is subscribed to later wins.
 */
export function gather(
  placements: Iterable<Placement>, claimsOf: (placement: Placement) => readonly Claim[], bytesMax: number,
): Batch[] {
  const batches: Batch[] = [];
  const open = new Map<string, Batch>();
  let lastGlobs: Batch | undefined;
  for (const placement of placements) {
    const claims = claimsOf(placement);
    let batch = open.get(placement.group);
    if (placement.isGlob && lastGlobs !== undefined && batch !== lastGlobs) batch = undefined;
    if (batch === undefined || !batch.add(placement, claims)) {
      batch = new Batch(bytesMax);
      batch.add(placement, claims);
      batches.push(batch);
      open.set(placement.group, batch);
    }
    if (placement.isGlob) lastGlobs = batch;
  }
  return batches;
}
