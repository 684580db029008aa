/**
 * Ranges that do not overlap, in ascending order. Looking one up is a binary search.
 */

import type { IovaRange } from "../uapi.ts";

/** A sorted list of disjoint ranges. */
export class AreaList<Area extends IovaRange> {
  readonly #areas: Area[] = [];

  [Symbol.iterator](): IterableIterator<Area> {
    return this.#areas[Symbol.iterator]();
  }

  /** The first area that shares an address with the range. */
  firstOverlapping(start: bigint, last: bigint): Area | undefined {
    const area = this.#areas[this.#indexFrom(start)];
    return area !== undefined && area.start <= last ? area : undefined;
  }

  /** The areas that share an address with the range, in order; the list may change between two of them. */
  *overlapping(start: bigint, last: bigint): Generator<Area> {
    let area = this.firstOverlapping(start, last);
    while (area !== undefined) {
      const next = area.last + 1n;
      yield area;
      area = next <= last ? this.firstOverlapping(next, last) : undefined;
    }
  }

  /** Adds an area, which must not overlap another. */
  insert(area: Area): void {
    this.#areas.splice(this.#indexFrom(area.start), 0, area);
  }

  /** Removes an area of the list. */
  remove(area: Area): void {
    this.#areas.splice(this.#indexFrom(area.start), 1);
  }

  /** Index of the first area that ends at or after an address. */
  #indexFrom(address: bigint): number {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#areas[middle] as Area).last < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
