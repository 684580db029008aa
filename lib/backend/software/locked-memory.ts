/** How much memory DMA may pin (RLIMIT_MEMLOCK), and what is pinned. */

import { Refusal } from "./refusal.ts";

/** The pinned memory of one account, and its limit: iopt_pages_update_pinned(). */
export class LockedMemory {
  /** In bytes; undefined: none, as for root. */
  readonly limit: bigint | undefined;
  #pinned = 0n;

  constructor(limit?: bigint) {
    this.limit = limit;
  }

  /** How much is pinned, in bytes. */
  get pinned(): bigint {
    return this.#pinned;
  }

  /** ENOMEM: it would be more than the limit. */
  charge(bytes: bigint): void {
    if (this.limit !== undefined && this.#pinned + bytes > this.limit) throw new Refusal("ENOMEM");
    this.#pinned += bytes;
  }

  release(bytes: bigint): void {
    this.#pinned -= bytes;
  }
}

/** The accounts of a program: its user's, and by IOMMU_OPTION_RLIMIT_MODE its own. Both have the same limit. */
export interface MemoryLimits {
  readonly user: LockedMemory;
  readonly process: LockedMemory;
}

/** @param limit in bytes; undefined: none, as for root */
export function memoryLimits(limit?: bigint): MemoryLimits {
  return { user: new LockedMemory(limit), process: new LockedMemory(limit) };
}

/**
 * Which pages of memory that was mapped once are pinned (struct iopt_pages): the pins of any of its areas. A copy is an
 * area
 * of the same memory, and so pins nothing twice; memory that is mapped twice is pinned twice.
 */
export class SharedPages {
  /** By range, with how many areas have it: `check` copies one piece of memory thousands of times. */
  readonly #areas = new Map<string, PageRange & { count: number }>();

  /** Pins an area; returns how many pages were not pinned before. */
  add(area: PageRange): bigint {
    const key = keyOf(area);
    const same = this.#areas.get(key);
    if (same !== undefined) {
      same.count++;
      return 0n;
    }
    const pinned = this.#unpinnedOf(area);
    this.#areas.set(key, { ...area, count: 1 });
    return pinned;
  }

  /** Unpins one; returns how many of its pages no other area has. */
  remove(area: PageRange): bigint {
    const key = keyOf(area);
    const same = this.#areas.get(key);
    if (same === undefined || --same.count > 0) return 0n;
    this.#areas.delete(key);
    return this.#unpinnedOf(area);
  }

  /** How many pages of a range no area has. */
  #unpinnedOf({ first, last }: PageRange): bigint {
    let [pages, next] = [0n, first];
    const others = [...this.#areas.values()].filter((area) => area.first <= last && area.last >= first);
    for (const area of others.sort((a, b) => (a.first < b.first ? -1 : 1))) {
      if (area.first > next) pages += area.first - next;
      if (area.last >= next) next = area.last + 1n;
    }
    return next <= last ? pages + (last - next + 1n) : pages;
  }
}

function keyOf({ first, last }: PageRange): string {
  return `${first} ${last}`;
}

/** Numbers of pages. */
export interface PageRange {
  readonly first: bigint;
  readonly last: bigint;
}
