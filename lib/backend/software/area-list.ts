/**
 * Ranges that do not overlap, in ascending order.
 *
 * They are kept in short sorted arrays, one after the other: finding one is a binary search among the arrays and one
 * within, adding or removing one moves a few hundred others at most. A million of them take little more memory than one
 * array of a million.
 */

import type { IovaRange } from "../../uapi.ts";

/** How many ranges an array holds at most; a full one is split in two. */
const CHUNK = 512;

/** A sorted list of disjoint ranges. */
export class AreaList<Area extends IovaRange> {
  /** None is empty. */
  readonly #chunks: Area[][] = [];
  #size = 0;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  *[Symbol.iterator](): Generator<Area> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** The first area that shares an address with the range. */
  firstOverlapping(start: bigint, last: bigint): Area | undefined {
    const chunk = this.#chunks[this.#chunkFrom(start)];
    const area = chunk?.[indexFrom(chunk, start)];
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
    this.#size++;
    // Behind the last one, into the last array: so a list that grows in order leaves full ones behind it.
    const index = Math.min(this.#chunkFrom(area.start), this.#chunks.length - 1);
    const chunk = this.#chunks[index];
    if (chunk === undefined) {
      this.#chunks.push([area]);
      return;
    }
    const at = indexFrom(chunk, area.start);
    if (chunk.length < CHUNK) {
      chunk.splice(at, 0, area);
    } else if (at === chunk.length) {
      this.#chunks.splice(index + 1, 0, [area]);
    } else {
      const upper = chunk.splice(CHUNK / 2);
      this.#chunks.splice(index + 1, 0, upper);
      const [target, position] = at <= chunk.length ? [chunk, at] : [upper, at - chunk.length];
      target.splice(position, 0, area);
    }
  }

  /** Removes an area of the list. */
  remove(area: Area): void {
    this.#size--;
    const index = this.#chunkFrom(area.start);
    const chunk = this.#chunks[index] as Area[];
    if (chunk.length === 1) this.#chunks.splice(index, 1);
    else chunk.splice(indexFrom(chunk, area.start), 1);
  }

  /** Index of the first array that has an area that ends at or after an address. */
  #chunkFrom(address: bigint): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = this.#chunks[middle] as Area[];
      if ((chunk[chunk.length - 1] as Area).last < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Index of the first area of a sorted array that ends at or after an address. */
function indexFrom<Area extends IovaRange>(areas: readonly Area[], address: bigint): number {
  let low = 0;
  let high = areas.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((areas[middle] as Area).last < address) low = middle + 1;
    else high = middle;
  }
  return low;
}
