/** A plan, for people and as JSON. */

import type { BypassRoDecision } from "../container/errata.ts";
import type { Decision, Plan, SkipReason } from "../container/plan.ts";
import { isMapping, mappedBytes } from "../container/plan.ts";
import { Elements, hex } from "../json.ts";
import { formatLength } from "../lengths.ts";
import type { RunningVm } from "../memory-map/running-qemu.ts";
import type { Origin } from "../origin.ts";
import { sectionLast } from "../section.ts";
import type { IovaRange } from "../uapi.ts";
import { type DrawnSection, drawPlan, type GuestKind } from "./address-map.ts";
import { type Advice, adviceForQemu, formatAdvice } from "./advice.ts";
import { formatBar } from "./bar.ts";
import { type Look, PLAIN } from "./look.ts";
import { damageFacts, memoryMapDocument, uncertaintyFacts } from "./memory-map-report.ts";
import {
  type Column,
  type Fact,
  formatFacts,
  formatRange,
  formatRegion,
  LABEL_WIDTH,
  labelled,
  originFact,
  paintFirst,
  printable,
  tablePieces,
} from "./text.ts";
import { countOutside, leftOutReadOnly, OUTCOME_COLOURS, planVerdict } from "./verdict.ts";

/** A plan and what it was made from. */
export interface PlanReport {
  readonly origin: Origin;
  readonly addressSpace: string;
  readonly nesting: boolean;
  readonly decision: BypassRoDecision;
  /** Whether the host reports the erratum; undefined where it was not asked. */
  readonly affected: boolean | undefined;
  /** Whether the kernel makes a nest parent for the device; undefined where it was not asked, or did not say. */
  readonly nestParent: boolean | undefined;
  readonly plan: Plan;
  /** The known facts about the host's IOMMU, as `describeIommu` words it; undefined where it was not asked. */
  readonly iommu?: readonly Fact[] | undefined;
  /** Where the host lets mappings be; undefined where it was not asked. */
  readonly iovaRanges?: readonly IovaRange[] | undefined;
  /** The running VM that was asked; undefined where a text was read. */
  readonly vm?: RunningVm | undefined;
  /** Evidence that the memory map is not whole, with the line; undefined if there is none. */
  readonly damage?: string | undefined;
}

const REASONS: Readonly<Record<SkipReason, string>> = {
  "read-only": "read-only",
  "not-ram": "not RAM",
  protected: "protected memory",
  "high-address": "address has bit 63 set",
  misaligned: "not aligned like its region",
  "sub-page": "smaller than a page",
  "unaligned-ram-device": "device memory not aligned to an IOMMU page",
};

/** The document `iommufd.plan/1`. */
export function planDocument({
  origin,
  addressSpace,
  nesting,
  decision,
  plan,
  vm,
  damage,
}: PlanReport): object {
  return {
    schema: "iommufd.plan/1",
    ...origin,
    addressSpace,
    pageSize: plan.pageSize,
    nesting,
    bypassRo: plan.bypassRo,
    reason: decision.reason,
    map: new Elements(plan.map, ({ section, iova, length, readonly, offsetInRegion, ramDevice }) => ({
      iova: hex(iova),
      length: hex(length),
      readonly,
      region: section.region,
      offsetInRegion: hex(offsetInRegion),
      ramDevice,
    })),
    skipped: new Elements(plan.skipped, ({ section, reason }) => ({
      start: hex(section.start),
      last: hex(sectionLast(section)),
      region: section.region,
      reason,
    })),
    totals: {
      mapped: hex(mappedBytes(plan)),
      skippedReadOnly: hex(leftOutReadOnly(plan).bytes),
      sections: plan.map.length + plan.skipped.length,
    },
    memoryMap: memoryMapDocument(plan, damage),
    ...(vm === undefined ? {} : { vm: vmDocument(vm) }),
  };
}

/** The facts behind a plan, beside the host. */
export function planFacts({ nesting, decision, plan }: PlanReport): Fact[] {
  return [
    ["Nesting", [nesting ? "wanted" : "not wanted"]],
    ["bypassRo", [`${plan.bypassRo ? "on" : "off"}: ${decision.reason}`]],
    ...uncertaintyFacts(plan),
  ];
}

/** The outcome in figures. */
export function planTotals({ plan }: PlanReport): Fact {
  const { sections, bytes } = leftOutReadOnly(plan);
  return [
    "Totals",
    [
      `${plan.map.length} of ${plan.map.length + plan.skipped.length} sections mapped, ${formatLength(mappedBytes(plan))}; ` +
        `${sections} left out as read-only, ${formatLength(bytes)}`,
    ],
  ];
}

/** Advice for the configuration of the VM. */
export function planAdvice({ nesting, affected, nestParent, plan, iovaRanges, vm }: PlanReport): Advice[] {
  const leftOut = leftOutReadOnly(plan).sections;
  const outside = countOutside(plan, iovaRanges);
  return adviceForQemu({ nesting, affected, nestParent, bypassRo: plan.bypassRo, leftOut, outside }, vm);
}

/** The plan for people. */
export function* formatPlan(report: PlanReport, { width, paint }: Look = PLAIN): Generator<string, void> {
  const { origin, addressSpace, plan, iommu = [], iovaRanges, vm, damage } = report;
  const map = drawPlan(plan, iovaRanges);
  const { outcome, text } = planVerdict(report);
  const head: Fact[] = [
    originFact(origin),
    ["Plan", [`${outcome}: ${text}`]],
    ...damageFacts(damage),
    ...iommu,
    ["VM", describeVm(vm)],
    ...planFacts(report),
  ];
  const colour = OUTCOME_COLOURS[outcome];
  yield [
    paintFirst(formatFacts(head, width), `${outcome}:`, (word) => paint(colour, word)),
    "",
    `Address space ${printable(JSON.stringify(addressSpace))}, pages of ${formatLength(BigInt(plan.pageSize))}:`,
    "",
    "",
  ].join("\n");
  const columns: Column<DrawnSection>[] = [
    { head: "DMA", cell: ({ kind, decision }) => paintUse(kind, describeDecision(decision), paint) },
    { head: "address", cell: ({ start, last }) => formatRange(start, last) },
    { head: "length", cell: ({ start, last }) => formatLength(last - start + 1n) },
    { head: "region", cell: ({ decision }) => describeRegion(decision) },
  ];
  yield* tablePieces(columns, map.guest, width);
  yield [
    "",
    "",
    labelled("Map", formatBar(map, width - LABEL_WIDTH), width),
    "",
    formatFacts([planTotals(report)], width),
    "",
    "In QEMU:",
    ...formatAdvice(planAdvice(report), width),
  ].join("\n");
}

/** Facts that the flat view of QEMU does not show, and so no file shows. */
const NOT_ASKED =
  "not asked: a file does not show how much of virtio-mem is plugged (the plan has all of it), which memory is SGX's, " +
  "or whether the VM is confidential; a running QEMU does (--qmp, --libvirt)";

/** The VM in words. */
export function describeVm(vm: RunningVm | undefined): string[] {
  if (vm === undefined) return [NOT_ASKED];
  const { version, nesting, virtioMem, sgxEpc } = vm;
  return [
    `QEMU ${version}, started ${nesting ? "with" : "without"} nesting`,
    ...virtioMem.map(({ id, start, last, plugged }) => {
      const parts = plugged === 0n ? "nothing of it" : "what is plugged, not all of it";
      const whole = formatLength(last - start + 1n);
      return plugged === last - start + 1n
        ? `virtio-mem ${printable(id)} at ${formatRange(start, last)}: all of its ${whole} plugged`
        : `virtio-mem ${printable(id)} at ${formatRange(start, last)}: ${formatLength(plugged)} of ${whole} plugged; QEMU maps ${parts}`;
    }),
    ...sgxEpc.map(({ start, last }) => `SGX memory at ${formatRange(start, last)}: QEMU maps nothing of it`),
  ];
}

function vmDocument({ version, nesting, virtioMem, sgxEpc }: RunningVm): object {
  return {
    qemuVersion: version,
    nesting,
    virtioMem: virtioMem.map(({ id, start, last, plugged }) => ({
      id,
      start: hex(start),
      last: hex(last),
      plugged: hex(plugged),
    })),
    sgxEpc: sgxEpc.map(({ start, last }) => ({ start: hex(start), last: hex(last) })),
  };
}

function paintUse(kind: GuestKind, use: string, paint: Look["paint"]): string {
  return kind === "left-out-read-only" ? paint("yellow", use) : use;
}

/** The subject of a decision: "pc.bios @0x20000". */
export function describeRegion(decision: Decision): string {
  const { region, offsetInRegion } = decision.section;
  return formatRegion(region, isMapping(decision) ? decision.offsetInRegion : offsetInRegion);
}

/** The use of a section, in words. */
export function describeDecision(decision: Decision): string {
  return isMapping(decision) ? describeMapping(decision) : describeSkip(decision.reason);
}

/** The use of a range, in words: "map read-write", "skip: not RAM". */
export function describeUse(
  use: { mapped: true; readonly: boolean; ramDevice: boolean } | { mapped: false; reason: SkipReason },
): string {
  return use.mapped ? describeMapping(use) : describeSkip(use.reason);
}

function describeMapping({ readonly, ramDevice }: { readonly: boolean; ramDevice: boolean }): string {
  const access = readonly ? "map read-only" : "map read-write";
  return ramDevice ? `${access}, peer-to-peer` : access;
}

function describeSkip(reason: SkipReason): string {
  return `skip: ${REASONS[reason]}`;
}
