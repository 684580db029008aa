/** Arithmetic of addresses and ranges. */

import type { IovaRange } from "../../uapi.ts";

export function* mergeByStart(left: Iterable<IovaRange>, right: Iterable<IovaRange>): Generator<IovaRange> {
  const lefts = left[Symbol.iterator]();
  const rights = right[Symbol.iterator]();
  let a = lefts.next();
  let b = rights.next();
  while (!a.done || !b.done) {
    if (b.done || (!a.done && a.value.start <= b.value.start)) {
      yield (a as IteratorYieldResult<IovaRange>).value;
      a = lefts.next();
    } else {
      yield b.value;
      b = rights.next();
    }
  }
}

export function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

export function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

export function alignUp(value: bigint, alignment: bigint): bigint {
  return (value + alignment - 1n) & -alignment;
}

export function lowestSetBit(value: bigint): bigint {
  return value & -value;
}

export function roundUpToPowerOfTwo(value: bigint): bigint {
  return value <= 1n ? 1n : 1n << BigInt((value - 1n).toString(2).length);
}
