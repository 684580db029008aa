/**
 * The fields of VT-d's Capability Register (CAP_REG) and Extended Capability Register (ECAP_REG), as the Intel
 * Virtualization Technology for Directed I/O specification lists them (revision 4.1, sections 11.4.2 and 11.4.3).
 */

import { type Field, flag } from "./register.ts";

/** Largest address width that a page table of each number of levels translates, in bits: SAGAW's bits 1 to 3. */
const ADDRESS_WIDTHS = [undefined, 39, 48, 57] as const;

/** Address widths in bits that a SAGAW value names, ascending. */
export function sagawWidths(sagaw: number): number[] {
  return ADDRESS_WIDTHS.filter(
    (width, bit): width is 39 | 48 | 57 => width !== undefined && ((sagaw >> bit) & 1) === 1,
  );
}

/** Sizes in bytes of the large pages that a SSLPS value names, ascending. */
export function sslpsSizes(sslps: number): bigint[] {
  return [1n << 21n, 1n << 30n].filter((_, bit) => ((sslps >> bit) & 1) === 1);
}

/** CAP_REG, offset 08h, from the lowest bit up. */
export const CAP_FIELDS: readonly Field[] = [
  {
    name: "ND",
    bit: 0,
    width: 3,
    title: "Number of domains supported",
    meaning: (nd) => (nd === 7 ? "reserved value" : `${2 ** (4 + 2 * nd)} domains`),
  },
  flag("AFL", 3, "Advanced fault logging"),
  flag("RWBF", 4, "Required write-buffer flushing", ["not required", "software must flush write buffers"]),
  flag("PLMR", 5, "Protected low-memory region"),
  flag("PHMR", 6, "Protected high-memory region"),
  flag("CM", 7, "Caching mode", [
    "off, as on hardware",
    "entries that are not present may be cached, as in emulated IOMMUs",
  ]),
  {
    name: "SAGAW",
    bit: 8,
    width: 5,
    title: "Supported adjusted guest address widths",
    meaning: (sagaw) =>
      sagawWidths(sagaw)
        .map((width) => `${width}-bit`)
        .join(", ") || "none",
  },
  {
    name: "MGAW",
    bit: 16,
    width: 6,
    title: "Maximum guest address width",
    meaning: (mgaw) => `${mgaw + 1} bits`,
  },
  flag("ZLR", 22, "Zero-length read"),
  {
    name: "FRO",
    bit: 24,
    width: 10,
    title: "Fault-recording register offset",
    meaning: (fro) => `at 0x${(fro * 16).toString(16)}`,
  },
  {
    name: "SSLPS",
    bit: 34,
    width: 4,
    title: "Second-stage large page support",
    meaning: (sslps) =>
      sslpsSizes(sslps)
        .map((size) => (size === 1n << 21n ? "2 MiB" : "1 GiB"))
        .join(", ") || "none",
  },
  flag("PSI", 39, "Page-selective invalidation"),
  {
    name: "NFR",
    bit: 40,
    width: 8,
    title: "Number of fault-recording registers",
    meaning: (nfr) => String(nfr + 1),
  },
  {
    name: "MAMV",
    bit: 48,
    width: 6,
    title: "Maximum address mask value",
    meaning: (mamv) => `invalidates up to 2^${mamv} pages at once`,
  },
  flag("DWD", 54, "Write draining"),
  flag("DRD", 55, "Read draining"),
  flag("FS1GP", 56, "First-stage 1-GByte page"),
  flag("PI", 59, "Posted interrupts"),
  flag("FS5LP", 60, "First-stage 5-level paging"),
  flag("ECMDS", 61, "Enhanced commands"),
  flag("ESIRTPS", 62, "Enhanced set interrupt remap table pointer"),
  flag("ESRTPS", 63, "Enhanced set root table pointer"),
];

/** ECAP_REG, offset 10h, from the lowest bit up. */
export const ECAP_FIELDS: readonly Field[] = [
  flag("C", 0, "Page-walk coherency"),
  flag("QI", 1, "Queued invalidation"),
  flag("DT", 2, "Device-TLB"),
  flag("IR", 3, "Interrupt remapping"),
  flag("EIM", 4, "Extended interrupt mode (x2APIC)"),
  flag("PT", 6, "Pass through"),
  flag("SC", 7, "Snoop control"),
  {
    name: "IRO",
    bit: 8,
    width: 10,
    title: "IOTLB register offset",
    meaning: (iro) => `at 0x${(iro * 16).toString(16)}`,
  },
  {
    name: "MHMV",
    bit: 20,
    width: 4,
    title: "Maximum handle mask value",
    meaning: (mhmv) => `invalidates up to 2^${mhmv} interrupt entries at once`,
  },
  flag("MTS", 25, "Memory type"),
  flag("NEST", 26, "Nested translation"),
  flag("PRS", 29, "Page requests"),
  flag("ERS", 30, "Execute requests"),
  flag("SRS", 31, "Supervisor requests"),
  flag("NWFS", 33, "No-write flag"),
  flag("EAFS", 34, "Extended accessed flag"),
  {
    name: "PSS",
    bit: 35,
    width: 5,
    title: "PASID size supported",
    meaning: (pss) => `${pss + 1} bits, if PASID is set`,
  },
  flag("PASID", 40, "Process address space ID"),
  flag("DIT", 41, "Device-TLB invalidation throttle"),
  flag("PDS", 42, "Page-request drain"),
  flag("SMTS", 43, "Scalable-mode translation"),
  flag("VCS", 44, "Virtual command"),
  flag("SSADS", 45, "Second-stage accessed and dirty flags"),
  flag("SSTS", 46, "Second-stage translation"),
  flag("FSTS", 47, "First-stage translation"),
  flag("SMPWCS", 48, "Scalable-mode page-walk coherency"),
  flag("RPS", 49, "RID-PASID"),
  flag("PMS", 51, "Performance monitoring"),
  flag("ADMS", 52, "Abort-DMA mode"),
  flag("RPRIVS", 53, "RID-PRIV"),
];
