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

/** Ranges in ascending order that do not overlap, with touching ranges joined (interval_tree_for_each_span()). */
export function joinTouching(ranges: readonly IovaRange[]): IovaRange[] {
  const joined: IovaRange[] = [];
  for (const range of ranges) {
    const before = joined.at(-1);
    if (before !== undefined && before.last + 1n === range.start)
      joined[joined.length - 1] = { start: before.start, last: range.last };
    else joined.push(range);
  }
  return joined;
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

/** HPAGE_SIZE: the memory of one table of pages, whose entries have 8 bytes. 2 MiB with pages of 4 KiB, 512 MiB with 64 KiB. */
export function hugePageSize(pageSize: bigint): bigint {
  return pageSize * (pageSize / 8n);
}
