// A seed determines the data that is written to the disk of the machine "nvme", so that a killed writer need not report
// anything.

import { createHash } from "node:crypto";

/** Length of one write, in bytes; a place has the same length. */
export const LENGTH = 4096;
const SECTOR = 512;

const hash = (...values) => createHash("sha256").update(values.join(" ")).digest();

/** The places of a round, all different, in an order that looks random. */
export function placesOf(seed, round, count, places) {
  const bytes = hash(seed, round);
  // Multiples of it go through all places before one comes again: no prime factor of their number divides it.
  let step = bytes.readUInt32LE(0) % places;
  while (step === 0 || commonDivisor(step, places) > 1) step = (step + 1) % places;
  const start = bytes.readUInt32LE(4) % places;
  return Array.from({ length: count }, (_, index) => (start + index * step) % places);
}

function commonDivisor(a, b) {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** The data that a round writes to a place; each sector of it differs. */
export function contentOf(seed, round, place) {
  const bytes = Buffer.alloc(LENGTH, hash(seed, round, place));
  for (let at = 0; at < LENGTH; at += SECTOR) bytes.writeUInt32LE(at, at);
  return bytes;
}
