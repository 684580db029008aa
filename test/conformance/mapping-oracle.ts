/**
 * An independent model of the mappings of an address space, in whole pages, to compare the library and its records
 * with.
 */

import { expect } from "vitest";
import type { DmaMemory } from "../../lib/index.ts";

/** Pages, by number. */
export interface Extent {
  readonly first: number;
  readonly pages: number;
}

/** A mapping as the kernel has it: from a page on, as many pages, of the memory. */
export interface Area extends Extent {
  readonly memory: DmaMemory;
}

const overlaps = (one: Extent, other: Extent) =>
  one.first < other.first + other.pages && other.first < one.first + one.pages;

/** The expected mappings: calls are applied in the order in which they were made. */
export class Oracle {
  areas: Area[] = [];
  /** Ranges mapped since the last time that nothing was under way: they may have been in the way of an earlier call. */
  recent: Extent[] = [];

  map(area: Area): void {
    expect(this.areas.some((other) => overlaps(area, other))).toBe(false);
    this.areas.push(area);
  }

  /** Whether a mapping can have been refused. */
  canCollide(range: Extent): boolean {
    return [...this.areas, ...this.recent].some((other) => overlaps(range, other));
  }

  /** Returns how many pages; undefined: ENOENT. */
  unmap(first: number, pages: number): number | undefined {
    const hit = this.areas
      .filter((area) => overlaps(area, { first, pages }))
      .sort((a, b) => a.first - b.first);
    let unmapped = 0;
    for (const area of hit) {
      if (area.first < first || area.first + area.pages > first + pages) return undefined;
      this.areas.splice(this.areas.indexOf(area), 1);
      unmapped += area.pages;
    }
    return unmapped || undefined;
  }

  /** The parts of a range; undefined where there is a gap. */
  parts(first: number, pages: number): Area[] | undefined {
    const parts = this.areas
      .filter((area) => overlaps(area, { first, pages }))
      .map((area) => {
        const from = Math.max(area.first, first);
        return {
          first: from,
          pages: Math.min(area.first + area.pages, first + pages) - from,
          memory: area.memory,
        };
      })
      .sort((a, b) => a.first - b.first);
    return parts.reduce((sum, part) => sum + part.pages, 0) === pages ? parts : undefined;
  }
}
