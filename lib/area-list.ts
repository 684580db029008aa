/**
 * Ranges that do not overlap, in ascending order.
 *
 * They are kept in short sorted arrays, one after the other: finding one is a binary search among the arrays and one
 * within, adding or removing one moves a few dozen others at most. A million of them take little more memory than one
 * array of a million.
 */

import type { IovaRange } from "./uapi.ts";

/** How many ranges an array holds at most; a full one is split in two. */
const CHUNK = 64;

/** A sorted list of disjoint ranges. */
export class AreaList<Area extends IovaRange> {
  /** None is empty, except one that is alone. */
  readonly #chunks: Area[][] = [[]];
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
    const chunk = this.#chunks[this.#chunkFrom(start)] as Area[];
    const area = chunk[indexFrom(chunk, start)];
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

  /**
   * Adds an area, if nothing is in its way.
   *
   * @returns what is: the first area that shares an address with it
   */
  insert(area: Area): Area | undefined {
    const index = this.#chunkFrom(area.start);
    const chunk = this.#chunks[index] as Area[];
    const at = indexFrom(chunk, area.start);
    const next = chunk[at];
    if (next !== undefined && next.start <= area.last) return next;
    this.#size++;
    if (chunk.length < CHUNK) {
      insertAt(chunk, at, area);
    } else if (at === chunk.length) {
      // So a list that grows in order leaves full arrays behind it.
      this.#chunks.splice(index + 1, 0, [area]);
    } else {
      const upper = chunk.splice(CHUNK / 2);
      this.#chunks.splice(index + 1, 0, upper);
      const [target, position] = at <= chunk.length ? [chunk, at] : [upper, at - chunk.length];
      insertAt(target, position, area);
    }
    return undefined;
  }

  /**
   * Removes the area that has exactly this range.
   *
   * @returns it; nothing where there is none
   */
  remove(start: bigint, last: bigint): Area | undefined {
    const index = this.#chunkFrom(start);
    const chunk = this.#chunks[index] as Area[];
    const at = indexFrom(chunk, start);
    const area = chunk[at];
    if (area === undefined || area.start !== start || area.last !== last) return undefined;
    this.#size--;
    if (chunk.length === 1 && this.#chunks.length > 1) this.#chunks.splice(index, 1);
    else removeAt(chunk, at);
    return area;
  }

  /** Index of the first array that has an area that ends at or after an address; without one, that of the last array. */
  #chunkFrom(address: bigint): number {
    let low = 0;
    let high = this.#chunks.length - 1;
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

// Array.prototype.splice() takes longer than to move what few areas an array has.

function insertAt<Area>(areas: Area[], at: number, area: Area): void {
  areas.push(area);
  for (let index = areas.length - 1; index > at; index--) areas[index] = areas[index - 1] as Area;
  areas[at] = area;
}

function removeAt<Area>(areas: Area[], at: number): void {
  for (let index = at + 1; index < areas.length; index++) areas[index - 1] = areas[index] as Area;
  areas.pop();
}
