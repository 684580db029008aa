/** Arguments of public calls, checked at the door. Each function returns the value or throws what errors.ts says. */

import { invalidType, outOfRange } from "./errors.ts";

const U64_LIMIT = 1n << 64n;

/** A 64-bit unsigned value: an address, a length. */
export function checkU64(value: bigint, name: string): bigint {
  if (typeof value !== "bigint") throw invalidType(name, "a bigint", value);
  if (value < 0n || value >= U64_LIMIT) throw outOfRange(name, "a bigint from 0 to 2^64-1", value);
  return value;
}

/** A 32-bit unsigned value. */
export function checkU32(value: number, name: string): number {
  if (typeof value !== "number") throw invalidType(name, "a number", value);
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw outOfRange(name, "an integer from 0 to 2^32-1", value);
  }
  return value;
}

/** An object made by a class of this library. */
export function checkInstance<Instance>(
  value: Instance,
  type: abstract new (...values: never[]) => Instance,
  name: string,
): Instance {
  if (!(value instanceof type)) throw invalidType(name, `a ${type.name}`, value);
  return value;
}

/** A power of two of at least some size. */
export function checkPowerOfTwo(value: number, least: number, name: string): number {
  if (typeof value !== "number") throw invalidType(name, "a number", value);
  if (!Number.isSafeInteger(value) || value < least || !Number.isInteger(Math.log2(value))) {
    throw outOfRange(name, `a power of two of at least ${least}`, value);
  }
  return value;
}
