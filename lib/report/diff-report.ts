/** The changes between two plans, for people and as JSON. */

import { diffPlans, type PlanChange, type RangeUse } from "../container/plan-diff.ts";
import { hex } from "../json.ts";
import { formatLength } from "../lengths.ts";
import type { Origin } from "../origin.ts";
import { type Look, PLAIN } from "./look.ts";
import { damageFacts } from "./memory-map-report.ts";
import type { PlanDocument } from "./plan-document.ts";
import { describeUse } from "./plan-report.ts";
import {
  describeOrigin,
  type Fact,
  formatFacts,
  formatRange,
  formatRegion,
  formatTable,
  labelled,
  originFact,
  printable,
} from "./text.ts";

/** Settings of a plan that decide what is mapped, under the labels of reports. */
const SETTINGS = [
  ["Space", ({ addressSpace }: PlanDocument) => printable(JSON.stringify(addressSpace))],
  ["Nesting", ({ nesting }: PlanDocument) => (nesting ? "wanted" : "not wanted")],
  ["bypassRo", ({ bypassRo }: PlanDocument) => (bypassRo ? "on" : "off")],
  ["Pages", ({ pageSize }: PlanDocument) => formatLength(BigInt(pageSize))],
] as const;

/** Two plans and what changes between them. */
export interface PlanDiff {
  readonly origin: Origin;
  readonly before: PlanDocument;
  readonly after: PlanDocument;
  readonly changes: readonly PlanChange[];
}

/** Compares two plans. */
export function comparePlans(before: PlanDocument, after: PlanDocument, origin: Origin): PlanDiff {
  return { origin, before, after, changes: diffPlans(before.ranges, after.ranges) };
}

/** The document `iommufd.diff/1`. */
export function diffDocument({ origin, before, after, changes }: PlanDiff): object {
  return {
    schema: "iommufd.diff/1",
    ...origin,
    before: settings(before),
    after: settings(after),
    changes: changes.map((change) => ({
      start: hex(change.start),
      last: hex(change.last),
      before: useDocument(change.before),
      after: useDocument(change.after),
    })),
    totals: { mappedAnew: hex(mappedAnew(changes)), noLongerMapped: hex(noLongerMapped(changes)) },
  };
}

/** The changes for people. */
export function formatDiff(
  { origin, before, after, changes }: PlanDiff,
  { width, paint }: Look = PLAIN,
): string {
  const origins = formatFacts(
    [originFact(origin), ...planOrigin("Before", before), ...planOrigin("After", after)],
    width,
  );
  const changed = SETTINGS.map(([label, of]) => [label, of(before), of(after)] as const)
    .filter(([, one, other]) => one !== other)
    .map(([label, one, other]) => labelled(label, [`${one}, then ${other}`], width));
  const damaged = [before, after].flatMap(({ damage }) => damageFacts(damage));
  if (damaged.length > 0) changed.unshift(formatFacts(damaged, width));
  if (changes.length === 0) return [origins, ...changed, "Both do the same with every address."].join("\n");
  return [
    origins,
    ...changed,
    "",
    formatTable(
      ["before", "after", "address", "length", "region"],
      changes.map((change) => row(change, paint)),
      width,
    ),
    "",
    labelled(
      "Totals",
      [
        `${changes.length} ${changes.length === 1 ? "range" : "ranges"}; ${formatLength(mappedAnew(changes))} mapped anew, ` +
          `${formatLength(noLongerMapped(changes))} no longer mapped`,
      ],
      width,
    ),
  ].join("\n");
}

/** The origin of a plan. */
function planOrigin(label: string, { origin }: PlanDocument): Fact[] {
  return origin === undefined ? [] : [[label, [describeOrigin(origin)]]];
}

function row({ start, last, before, after }: PlanChange, paint: Look["paint"]): string[] {
  const use = after === null ? "nothing there" : describeUse(after);
  return [
    before === null ? "nothing there" : describeUse(before),
    before?.mapped && !after?.mapped
      ? paint("yellow", use)
      : !before?.mapped && after?.mapped
        ? paint("green", use)
        : use,
    formatRange(start, last),
    formatLength(last - start + 1n),
    regionsOf(before, after),
  ];
}

/** Where a region is mapped from is told of mappings alone: what is left out has no place in it. */
function regionsOf(before: RangeUse | null, after: RangeUse | null): string {
  if (before === null || after === null || before.region === after.region) {
    const mapped = [before, after].flatMap((use) => (use?.mapped ? [regionOf(use)] : []));
    return [...new Set(mapped)].join(", then ") || printable((before ?? after)?.region ?? "");
  }
  return `${regionOf(before)}, then ${regionOf(after)}`;
}

function regionOf(use: RangeUse): string {
  return formatRegion(use.region, use.mapped ? use.offsetInRegion : 0n);
}

function settings({ origin, addressSpace, nesting, bypassRo, pageSize, damage }: PlanDocument): object {
  return { ...origin, addressSpace, nesting, bypassRo, pageSize, damage: damage ?? null };
}

function useDocument(use: RangeUse | null): object | null {
  return use?.mapped ? { ...use, offsetInRegion: hex(use.offsetInRegion) } : use;
}

function mappedAnew(changes: readonly PlanChange[]): bigint {
  return total(changes, ({ before, after }) => !before?.mapped && after?.mapped === true);
}

function noLongerMapped(changes: readonly PlanChange[]): bigint {
  return total(changes, ({ before, after }) => before?.mapped === true && !after?.mapped);
}

function total(changes: readonly PlanChange[], counts: (change: PlanChange) => boolean): bigint {
  return changes.filter(counts).reduce((sum, { start, last }) => sum + last - start + 1n, 0n);
}
