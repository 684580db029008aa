/** A mapping in an address space (struct iopt_area), and the page tables that have it (struct iommu_domain). */

import type { IovaRange } from "../../uapi.ts";
import type { SharedPages } from "./locked-memory.ts";
import type { DomainProfile } from "./profile.ts";
import type { SoftwareMemory } from "./software-memory.ts";

/** A range of IOVAs that is mapped, and what is there. There can be a million, so it is one flat object. */
export interface Area extends IovaRange {
  /** The memory that is mapped. */
  readonly memory: SoftwareMemory;
  /** Where: a virtual address, or an offset in the file. */
  readonly address: bigint;
  /** AREA_*, added. */
  readonly flags: number;
  /** The pages that it shares with its copies (struct iopt_pages); undefined until there is one. */
  pages: SharedPages | undefined;
}

/** Area.flags: DMA may read. */
export const AREA_READABLE = 1;
/** Area.flags: DMA may write. */
export const AREA_WRITEABLE = 2;
/** Area.flags: the memory was mapped with permission to write; without, no copy can have it. */
export const AREA_PAGES_WRITEABLE = 4;
/** Area.flags: it was mapped as a file. */
export const AREA_FILE = 8;

/** Where in its memory an area is, in bytes. */
export function offsetOf({ memory, address, flags }: Area): bigint {
  return flags & AREA_FILE ? address : address - memory.address;
}

/** A piece of an address space, on its way to another; with only the flags of the memory. */
export interface Piece extends Pick<Area, "memory" | "address" | "flags" | "pages"> {
  readonly length: bigint;
}

/** A page table that the areas of an address space are mapped in (struct iommu_domain). */
export interface Domain {
  readonly profile: DomainProfile;
  /** ERRATA_772415_SPR17: a nest parent that refuses read-only mappings. */
  readonly forceWritable: boolean;
  /** A mapping has gone, and what was known of its pages with it. */
  unmapped(area: IovaRange): void;
}
