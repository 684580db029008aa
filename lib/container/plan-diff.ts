/** Compares two plans, address by address. */

import { byStart, type SkipReason } from "./plan.ts";

/** The use of a range in a plan. */
export type RangeUse =
  | {
      readonly mapped: true;
      readonly region: string;
      /** Mapped without write permission. */
      readonly readonly: boolean;
      /** Where in the region the range starts, in bytes. */
      readonly offsetInRegion: bigint;
      /** RAM of a device. */
      readonly ramDevice: boolean;
    }
  | { readonly mapped: false; readonly region: string; readonly reason: SkipReason };

/** A range of addresses, ends inclusive, and what a plan does with it. */
export interface PlannedRange {
  readonly start: bigint;
  readonly last: bigint;
  readonly use: RangeUse;
}

/** A range with which one plan does something else than the other; null: that plan has nothing there. */
export interface PlanChange {
  readonly start: bigint;
  readonly last: bigint;
  readonly before: RangeUse | null;
  readonly after: RangeUse | null;
}

/**
 * The changes, by address; empty where both do the same with every address. A range that changes in one way is one
 * change, however the plans divide it.
 *
 * @param before ranges that do not overlap, in any order
 * @param after likewise
 */
export function diffPlans(before: readonly PlannedRange[], after: readonly PlannedRange[]): PlanChange[] {
  const changes: PlanChange[] = [];
  const [uses, otherUses] = [new Cursor(before), new Cursor(after)];
  for (const [start, last] of pieces([...before, ...after])) {
    const change = { start, last, before: uses.at(start), after: otherUses.at(start) };
    const previous = changes.at(-1);
    if (sameUse(change.before, change.after, 0n)) continue;
    if (previous !== undefined && continues(previous, change))
      changes[changes.length - 1] = { ...previous, last };
    else changes.push(change);
  }
  return changes;
}

/** The address space cut at every edge of a range, where there is a range. */
function pieces(ranges: readonly PlannedRange[]): [start: bigint, last: bigint][] {
  const cuts = [...new Set(ranges.flatMap(({ start, last }) => [start, last + 1n]))].sort(ascending);
  return cuts.slice(1).map((cut, index) => [cuts[index] as bigint, cut - 1n]);
}

/** Looks up addresses that only grow. */
class Cursor {
  readonly #ranges: readonly PlannedRange[];
  #index = 0;

  constructor(ranges: readonly PlannedRange[]) {
    this.#ranges = ranges.toSorted(byStart);
  }

  /** The use of the bytes from an address on. */
  at(address: bigint): RangeUse | null {
    while ((this.#ranges[this.#index]?.last ?? address) < address) this.#index++;
    const range = this.#ranges[this.#index];
    if (range === undefined || range.start > address) return null;
    const { use, start } = range;
    return use.mapped ? { ...use, offsetInRegion: use.offsetInRegion + (address - start) } : use;
  }
}

function continues(previous: PlanChange, next: PlanChange): boolean {
  const distance = next.start - previous.start;
  return (
    previous.last + 1n === next.start &&
    sameUse(previous.before, next.before, distance) &&
    sameUse(previous.after, next.after, distance)
  );
}

/** Whether both are the same use, the second from `distance` bytes further on. */
function sameUse(one: RangeUse | null, other: RangeUse | null, distance: bigint): boolean {
  if (one === null || other === null) return one === other;
  if (one.region !== other.region) return false;
  if (!one.mapped || !other.mapped) return !one.mapped && !other.mapped && one.reason === other.reason;
  return (
    one.readonly === other.readonly &&
    one.ramDevice === other.ramDevice &&
    one.offsetInRegion + distance === other.offsetInRegion
  );
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
