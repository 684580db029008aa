/** Finds what lies between and around the IOVA ranges of an address space (IOMMU_IOAS_IOVA_RANGES). */

import type { IovaRange } from "../uapi.ts";

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
