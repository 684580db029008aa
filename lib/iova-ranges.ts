/** Finds what lies within, between and around the IOVA ranges of an address space (IOMMU_IOAS_IOVA_RANGES). */

import type { IovaRange } from "./uapi.ts";

/** Whether one of the ranges has all of a mapping; `length` is in bytes. */
export function isWithin(ranges: readonly IovaRange[], iova: bigint, length: bigint): boolean {
  return ranges.some(({ start, last }) => start <= iova && iova + length - 1n <= last);
}

/** From the first address that can be mapped to the last. */
export function apertureOf(ranges: readonly IovaRange[]): IovaRange {
  return { start: ranges[0]?.start ?? 0n, last: ranges.at(-1)?.last ?? 0n };
}

/** The ranges between them, by address: what is reserved. */
export function reservedBetween(ranges: readonly IovaRange[]): IovaRange[] {
  return ranges
    .slice(1)
    .map(({ start }, index) => ({ start: (ranges[index]?.last ?? 0n) + 1n, last: start - 1n }));
}
