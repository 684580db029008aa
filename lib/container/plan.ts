/**
 * Which memory sections become DMA mappings: a pure function of the sections and three settings.
 *
 * The rules, and their order, are those of QEMU's VFIO listener (hw/vfio/listener.c: vfio_listener_valid_section,
 * vfio_container_region_add), so that a plan is what that VMM would do.
 */

import { checkOptions, checkPowerOfTwo, knownOptions } from "../arguments.ts";
import { outOfRange } from "../errors.ts";
import { checkSection, describeSection, type MemorySection } from "../section.ts";

/**
 * Why a section is not mapped, in the order in which the rules apply (QEMU hw/vfio/listener.c,
 * vfio_listener_valid_section() and vfio_container_region_add()).
 */
export const SKIP_REASONS = [
  /** The section is read-only, and the container must not map read-only sections (bypassRo). */
  "read-only",
  /** The section is neither RAM nor RAM of a device. */
  "not-ram",
  /** The section is memory that DMA must not reach. */
  "protected",
  /** Bit 63 of its address is set, as happens for a moment while a 64-bit BAR is sized. */
  "high-address",
  /** Its address and its offset in the region differ modulo the page size. */
  "misaligned",
  /** No whole page is in it. */
  "sub-page",
  /** RAM of a device that is not aligned to the smallest page of the IOMMU. */
  "unaligned-ram-device",
] as const;

/** Why a section is not mapped. */
export type SkipReason = (typeof SKIP_REASONS)[number];

/** The settings of a plan. */
export interface PlanOptions {
  /** Leave out read-only sections. Default false. */
  bypassRo?: boolean | undefined;
  /** Page size of the host in bytes, a power of two of at least 4096. Default 4096. */
  pageSize?: number | undefined;
  /** Smallest page that the IOMMU maps, in bytes. Default: the host's page size. */
  iommuPageSize?: number | undefined;
}

/** The first address behind the address space. */
const SPACE_END = 1n << 64n;

const PLAN_OPTIONS = knownOptions<PlanOptions>({
  bypassRo: "boolean",
  pageSize: "other",
  iommuPageSize: "other",
});

/** A section that is mapped. */
export interface PlannedMapping {
  /** The section that it maps. */
  readonly section: MemorySection;
  /** The start of the section, rounded up to a page. */
  readonly iova: bigint;
  /** In bytes, whole pages. */
  readonly length: bigint;
  /** Mapped without write permission. */
  readonly readonly: boolean;
  /** Where in the region the mapping starts, in bytes. */
  readonly offsetInRegion: bigint;
  /** RAM of a device: if the kernel cannot map it (EFAULT), this does not count as a failure. */
  readonly ramDevice: boolean;
}

/** A section that is not mapped. */
export interface SkippedSection {
  /** The section that is left out. */
  readonly section: MemorySection;
  /** Why. */
  readonly reason: SkipReason;
}

/** The decision about a section. */
export type Decision = PlannedMapping | SkippedSection;

/** The decisions about all sections, by address. */
export interface Plan {
  /** Whether read-only sections were to be left out. */
  readonly bypassRo: boolean;
  /** To whose multiples mappings were cut, in bytes: the pages of the host. */
  readonly pageSize: number;
  /** The mappings, by address. */
  readonly map: readonly PlannedMapping[];
  /** The rest, by address. */
  readonly skipped: readonly SkippedSection[];
}

/** Whether a decision is to map. */
export function isMapping(decision: Decision): decision is PlannedMapping {
  return "iova" in decision;
}

/** Whether a section is skipped for an alignment that somebody should be told of. */
export function isUnexpectedlyMisaligned({ section, reason }: SkippedSection): boolean {
  return reason === "misaligned" && !section.misalignmentIsKnown;
}

/**
 * Plans the DMA mappings for memory sections: what QEMU's listener would do with them (hw/vfio/listener.c).
 *
 * @param sections in any order
 * @throws RangeError ERR_OUT_OF_RANGE: a page size is not a power of two of at least 4096, a section does not fit
 *   into 64 bits, or two overlap
 */
export function plan(sections: Iterable<MemorySection>, options: PlanOptions = {}): Plan {
  const rules = rulesOf(options);
  const { bypassRo, pageSize } = rules;
  const map: PlannedMapping[] = [];
  const skipped: SkippedSection[] = [];
  let previous: MemorySection | undefined;
  let end = 0n;
  for (const section of inOrder(sections)) {
    if (previous !== undefined && section.start < end) {
      throw outOfRange(
        "sections",
        `disjoint (${describeSection(previous)} overlaps the next)`,
        describeSection(section),
      );
    }
    const decision = decideBy(rules, section);
    previous = section;
    end = section.start + section.size;
    if (isMapping(decision)) map.push(decision);
    else skipped.push(decision);
  }
  return { bypassRo, pageSize, map, skipped };
}

/**
 * Decides about one section. The start of a mapping is rounded up to a page of the host, and its end down.
 *
 * @throws RangeError ERR_OUT_OF_RANGE: as {@link plan}
 */
export function decide(section: MemorySection, options: PlanOptions = {}): Decision {
  return decideBy(rulesOf(options), section);
}

/** The settings of a plan, checked, as each decision needs them. */
interface Rules {
  readonly bypassRo: boolean;
  readonly pageSize: number;
  /** The bits of an address within a page of the host. */
  readonly mask: bigint;
  /** The same of the IOMMU's smallest page. */
  readonly iommuMask: bigint;
}

function rulesOf(options: PlanOptions): Rules {
  const { bypassRo = false, pageSize = 4096, iommuPageSize = pageSize } = checkOptions(options, PLAN_OPTIONS);
  checkPowerOfTwo(pageSize, 4096, "pageSize");
  checkPowerOfTwo(iommuPageSize, 4096, "iommuPageSize");
  return { bypassRo, pageSize, mask: BigInt(pageSize) - 1n, iommuMask: BigInt(iommuPageSize) - 1n };
}

function decideBy({ bypassRo, mask, iommuMask }: Rules, section: MemorySection): Decision {
  checkSection(section);
  const { start, size, offsetInRegion, type } = section;
  const end = start + size;
  if (start < 0n || size <= 0n || end > SPACE_END || offsetInRegion < 0n) {
    throw outOfRange("section", "a range of at least one byte within 64 bits", describeSection(section));
  }

  if (bypassRo && section.readonly) return { section, reason: "read-only" };
  if (type === "other") return { section, reason: "not-ram" };
  if (section.protected) return { section, reason: "protected" };
  if (start >> 63n) return { section, reason: "high-address" };

  if ((start & mask) !== (offsetInRegion & mask)) return { section, reason: "misaligned" };
  // Most sections are whole pages, and mapped as they are.
  const isWhole = ((start | size) & mask) === 0n;
  const iova = isWhole ? start : (start + mask) & ~mask;
  const length = isWhole ? size : (end & ~mask) - iova;
  if (length <= 0n) return { section, reason: "sub-page" };

  const ramDevice = type === "ram-device";
  if (ramDevice && (iova | length) & iommuMask) return { section, reason: "unaligned-ram-device" };
  return {
    section,
    iova,
    length,
    readonly: section.readonly,
    offsetInRegion: isWhole ? offsetInRegion : offsetInRegion + (iova - start),
    ramDevice,
  };
}

/** Size of the mappings of a plan, in bytes. */
export function mappedBytes({ map }: Plan): bigint {
  return map.reduce((sum, { length }) => sum + length, 0n);
}

/** Sections by their starts. Most lists are in that order, which is seen in less time than sorting takes. */
function inOrder(sections: Iterable<MemorySection>): readonly MemorySection[] {
  const list = [...sections];
  for (let index = 1; index < list.length; index++)
    if ((list[index - 1] as MemorySection).start > (list[index] as MemorySection).start)
      return list.sort(byStart);
  return list;
}

/** Orders what has a start by it. */
export function byStart(a: { readonly start: bigint }, b: { readonly start: bigint }): number {
  return a.start < b.start ? -1 : a.start > b.start ? 1 : 0;
}
