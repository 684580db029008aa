/**
 * Memory sections: what a VMM's address space is made of, as the container sees it.
 */

import { invalidType, outOfRange } from "./errors.ts";

/**
 * The kind of memory behind a section.
 *
 * - `ram`: memory.
 * - `ram-device`: memory of another device, a mapped BAR; mapping it allows peer-to-peer DMA, and may fail.
 * - `other`: nothing that DMA can reach by itself: MMIO, ROM devices, containers, and IOMMU regions, whose
 *   mappings a VMM's vIOMMU hands to {@link Container.dmaMap} one by one.
 */
export type SectionType = "ram" | "ram-device" | "other";

/** A piece of a memory region as one address space sees it. */
export interface MemorySection {
  /** Offset within the address space: the IOVA. */
  readonly start: bigint;
  /** Size in bytes, 1 to 2^64. */
  readonly size: bigint;
  /** Name of the memory region; for people, and to find its memory. */
  readonly region: string;
  /** Where in the region it starts, in bytes. */
  readonly offsetInRegion: bigint;
  /** The kind of memory behind it. */
  readonly type: SectionType;
  /** Whether the address space sees it read-only. */
  readonly readonly: boolean;
  /** Memory that DMA must not reach: SGX EPC, confidential guest memory. Default false. */
  readonly protected?: boolean | undefined;
  /**
   * That {@link type} is no more than likely: a flat view of QEMU shows it as `rom`, which is RAM as a rule, and does not say
   * whether it is RAM or a ROM device. Default false.
   */
  readonly typeIsAssumed?: boolean | undefined;
  /**
   * The section is known to be aligned differently from its region, without harm (QEMU's TPM CRB): no warning. Default
   * false.
   */
  readonly misalignmentIsKnown?: boolean | undefined;
}

const SECTION_TYPES: readonly SectionType[] = ["ram", "ram-device", "other"];

/**
 * Checks the fields of a section that decide whether and how it is mapped. A misspelt field would change the result
 * unnoticed.
 */
export function checkSection({ type, readonly, protected: isProtected = false }: MemorySection): void {
  if (!SECTION_TYPES.includes(type)) throw outOfRange("type", '"ram", "ram-device" or "other"', type);
  if (typeof readonly !== "boolean") throw invalidType("readonly", "a boolean", readonly);
  if (typeof isProtected !== "boolean") throw invalidType("protected", "a boolean", isProtected);
}

/** The last address of a section, inclusive. */
export function sectionLast({ start, size }: MemorySection): bigint {
  return start + size - 1n;
}

/** Names a section for people: `pc.bios at 0xfffc0000-0xffffffff`. */
export function describeSection(section: MemorySection): string {
  return `${section.region} at 0x${section.start.toString(16)}-0x${sectionLast(section).toString(16)}`;
}
