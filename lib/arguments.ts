/** Arguments of public calls, checked at the door. Each function returns the value or throws what errors.ts says. */

import { invalidType, outOfRange, unknownOption } from "./errors.ts";

const U64_LIMIT = 1n << 64n;

/** A length or an offset in bytes: a bigint, or a number that is a safe integer. Results are always bigints. */
export type ByteCount = bigint | number;

/** A 64-bit unsigned value: an address, a length. */
export function checkU64(value: bigint, name: string): bigint {
  if (typeof value !== "bigint") throw invalidType(name, "a bigint", value);
  if (value < 0n || value >= U64_LIMIT) throw outOfRange(name, "a bigint from 0 to 2^64-1", value);
  return value;
}

/**
 * A length or an offset in bytes. A number is taken where it is exact, as node:fs takes positions.
 *
 * @returns the same as a bigint
 */
export function checkByteCount(value: ByteCount, name: string): bigint {
  if (typeof value === "bigint") return checkU64(value, name);
  if (typeof value !== "number") throw invalidType(name, "a bigint or a number", value);
  if (!Number.isSafeInteger(value) || value < 0)
    throw outOfRange(name, "an integer from 0 to 2^53-1, or a bigint", value);
  return BigInt(value);
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

/** The names of options, and of each whether it is a boolean, which is checked with the name; others are checked where they are used. */
export type KnownOptions<Options> = ReadonlyMap<string, "boolean" | "other"> & { readonly of?: Options };

/** The options that {@link checkOptions} lets pass. The compiler makes sure that each option is in it. */
export function knownOptions<Options>(
  kinds: {
    readonly [Name in keyof Options]-?: NonNullable<Options[Name]> extends boolean ? "boolean" : "other";
  },
): KnownOptions<Options> {
  return new Map(Object.entries<"boolean" | "other">(kinds));
}

/**
 * The options of a call. One that is not known is refused, for whoever misspelt it wanted something else than the default.
 * Inherited properties do not count.
 */
export function checkOptions<Options extends object>(
  options: Options,
  known: KnownOptions<Options>,
): Options {
  if (typeof options !== "object" || options === null) throw invalidType("options", "an object", options);
  // Without a copy and without an array of names: this is on the way of each map().
  for (const option in options) {
    const kind = known.get(option);
    if (kind === "other") continue;
    if (kind === undefined) {
      if (Object.hasOwn(options, option)) throw unknownOption(option, [...known.keys()]);
      continue;
    }
    const value: unknown = options[option];
    if (value !== undefined && typeof value !== "boolean") throw invalidType(option, "a boolean", value);
  }
  return options;
}
