/** A plan, for people and as JSON. */

import type { BypassRoDecision } from "../container/errata.ts";
import type { Decision, Plan, SkipReason } from "../container/plan.ts";
import { isMapping, mappedBytes } from "../container/plan.ts";
import { hex } from "../json.ts";
import { formatLength } from "../lengths.ts";
import type { RunningVm } from "../memory-map/running-qemu.ts";
import type { Origin } from "../origin.ts";
import { sectionLast } from "../section.ts";
import type { IovaRange } from "../uapi.ts";
import { type DrawnSection, drawPlan } from "./address-map.ts";
import { adviceForQemu } from "./advice.ts";
import { formatBar } from "./bar.ts";
import { damageFacts, memoryMapDocument, uncertaintyFacts } from "./memory-map-report.ts";
import {
  type Fact,
  formatFacts,
  formatRange,
  formatRegion,
  formatTable,
  LABEL_WIDTH,
  labelled,
  originFact,
  printable,
} from "./text.ts";

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
  /** What is known of the host's IOMMU, as `describeIommu` words it; undefined where it was not asked. */
  readonly iommu?: readonly Fact[] | undefined;
  /** Where the host lets mappings be; undefined where it was not asked. */
  readonly iovaRanges?: readonly IovaRange[] | undefined;
  /** The running VM that was asked; undefined where a text was read. */
  readonly vm?: RunningVm | undefined;
  /** What shows that the memory map is not whole, with the line; undefined where nothing does. */
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
    map: plan.map.map(({ section, iova, length, readonly, offsetInRegion, ramDevice }) => ({
      iova: hex(iova),
      length: hex(length),
      readonly,
      region: section.region,
      offsetInRegion: hex(offsetInRegion),
      ramDevice,
    })),
    skipped: plan.skipped.map(({ section, reason }) => ({
      start: hex(section.start),
      last: hex(sectionLast(section)),
      region: section.region,
      reason,
    })),
    totals: {
      mapped: hex(mappedBytes(plan)),
      skippedReadOnly: hex(skippedReadOnlyBytes(plan)),
      sections: plan.map.length + plan.skipped.length,
    },
    memoryMap: memoryMapDocument(plan, damage),
    ...(vm === undefined ? {} : { vm: vmDocument(vm) }),
  };
}

/** What a plan was made from. */
export function planFacts({ origin, nesting, decision, plan, iommu = [], vm, damage }: PlanReport): Fact[] {
  return [
    originFact(origin),
    ...damageFacts(damage),
    ...iommu,
    ["VM", vm === undefined ? NOT_ASKED : describeVm(vm)],
    ["Nesting", [nesting ? "wanted" : "not wanted"]],
    ["bypassRo", [`${plan.bypassRo ? "on" : "off"}: ${decision.reason}`]],
    ...uncertaintyFacts(plan),
  ];
}

/** What came of it, in figures. */
export function planTotals({ plan }: PlanReport): Fact {
  return [
    "Totals",
    [
      `${plan.map.length} of ${plan.map.length + plan.skipped.length} sections mapped, ${formatLength(mappedBytes(plan))}; ` +
        `${readOnlyLeftOut(plan)} left out as read-only, ${formatLength(skippedReadOnlyBytes(plan))}`,
    ],
  ];
}

/** What to configure in the VM. */
export function planAdvice({ nesting, affected, nestParent, plan, vm }: PlanReport): string[] {
  const leftOut = readOnlyLeftOut(plan);
  return adviceForQemu({ nesting, affected, nestParent, bypassRo: plan.bypassRo, leftOut }, vm);
}

/**
 * The plan for people.
 *
 * @param width how wide the bar may be, in characters
 */
export function formatPlan(report: PlanReport, width: number): string {
  const { addressSpace, plan, iovaRanges } = report;
  const map = drawPlan(plan, iovaRanges);
  return [
    formatFacts(planFacts(report)),
    "",
    `Address space ${printable(JSON.stringify(addressSpace))}, pages of ${formatLength(BigInt(plan.pageSize))}:`,
    "",
    formatTable(["DMA", "address", "length", "region"], map.guest.map(row)),
    "",
    labelled("Map", formatBar(map, width - LABEL_WIDTH)),
    "",
    formatFacts([planTotals(report)]),
    "",
    "In QEMU:",
    ...planAdvice(report),
  ].join("\n");
}

/** What the flat view of QEMU does not show, and so no file does. */
const NOT_ASKED = [
  "not asked: a file does not tell what of virtio-mem is plugged (the plan has all of it), what is SGX's memory,",
  "or whether the VM is confidential; a running QEMU does (--qmp, --libvirt)",
];

function describeVm({ version, nesting, virtioMem, sgxEpc }: RunningVm): string[] {
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

function row({ start, last, decision }: DrawnSection): string[] {
  return [
    describeDecision(decision),
    formatRange(start, last),
    formatLength(last - start + 1n),
    describeRegion(decision),
  ];
}

/** What a decision is about: "pc.bios @0x20000". */
export function describeRegion(decision: Decision): string {
  const { region, offsetInRegion } = decision.section;
  return formatRegion(region, isMapping(decision) ? decision.offsetInRegion : offsetInRegion);
}

/** What becomes of a section, in words. */
export function describeDecision(decision: Decision): string {
  return describeUse(isMapping(decision) ? { mapped: true, ...decision } : { mapped: false, ...decision });
}

/** What a plan does with a range, in words: "map read-write", "skip: not RAM". */
export function describeUse(
  use: { mapped: true; readonly: boolean; ramDevice: boolean } | { mapped: false; reason: SkipReason },
): string {
  if (!use.mapped) return `skip: ${REASONS[use.reason]}`;
  const access = use.readonly ? "map read-only" : "map read-write";
  return use.ramDevice ? `${access}, peer-to-peer` : access;
}

function readOnlyLeftOut({ skipped }: Plan): number {
  return skipped.filter(({ reason }) => reason === "read-only").length;
}

function skippedReadOnlyBytes({ skipped }: Plan): bigint {
  return skipped.reduce(
    (sum, { section, reason }) => (reason === "read-only" ? sum + section.size : sum),
    0n,
  );
}
