/** A plan as something to draw: what is done with each range, what the host reserves, and the axis that they share. */

import { byStart, type Decision, isMapping, type Plan } from "../container/plan.ts";
import { apertureOf, reservedBetween } from "../iova-ranges.ts";
import { sectionLast } from "../section.ts";
import type { IovaRange } from "../uapi.ts";
import { divideAxis, type Piece } from "./axis.ts";

/** The use of a section; read-only sections that are left out have a use of their own. */
export type GuestKind = "read-write" | "read-only" | "left-out-read-only" | "left-out";

/**
 * Addresses that the host does not let anybody map: between the addresses that it maps, or before and after all of
 * them.
 */
export type HostKind = "reserved" | "outside";

/** A range that is drawn. */
export interface Drawn<Kind> extends IovaRange {
  readonly kind: Kind;
}

/** A section that is drawn. A mapping is as long as its whole pages. */
export interface DrawnSection extends Drawn<GuestKind> {
  readonly decision: Decision;
}

/** All of it, by address. */
export interface AddressMap {
  readonly guest: readonly DrawnSection[];
  /** Empty where the host was not asked. */
  readonly host: readonly Drawn<HostKind>[];
  readonly axis: readonly Piece[];
}

/** @param iovaRanges where the host lets mappings be; undefined where it was not asked */
export function drawPlan(plan: Plan, iovaRanges: readonly IovaRange[] | undefined): AddressMap {
  const guest = [...plan.map, ...plan.skipped].map(drawSection).sort(byStart);
  const lastOfGuest = guest.at(-1)?.last ?? 0n;
  if (iovaRanges === undefined || iovaRanges.length === 0)
    return { guest, host: [], axis: divideAxis(guest, lastOfGuest) };
  const aperture = apertureOf(iovaRanges);
  const last = aperture.last > lastOfGuest ? aperture.last : lastOfGuest;
  const host = [
    { kind: "outside", start: 0n, last: aperture.start - 1n } as const,
    ...reservedBetween(iovaRanges).map((range) => ({ kind: "reserved", ...range }) as const),
    { kind: "outside", start: aperture.last + 1n, last } as const,
  ].filter((range) => range.start <= range.last);
  return { guest, host, axis: divideAxis([...guest, ...host], last) };
}

function drawSection(decision: Decision): DrawnSection {
  if (isMapping(decision)) {
    const { iova, length, readonly } = decision;
    return { start: iova, last: iova + length - 1n, kind: readonly ? "read-only" : "read-write", decision };
  }
  const { section, reason } = decision;
  const kind = reason === "read-only" ? "left-out-read-only" : "left-out";
  return { start: section.start, last: sectionLast(section), kind, decision };
}
