/**
 * The features of an AMD IOMMU: its Extended Feature Registers, with the names of the AMD I/O Virtualization Technology
 * (IOMMU) Specification (48882), MMIO offsets 0030h and 01A0h.
 *
 * Where Linux has a macro for a field (drivers/iommu/amd/amd_iommu_types.h) a test compares the two; only these fields
 * of EFR2 have names.
 */

import { type Field, type FieldValues, field, fieldValues, flag, oneOf, reservedBits } from "./register.ts";

const levels = oneOf("4 levels", "5 levels", "6 levels");

/** EFR, offset 0030h, from the lowest bit up. */
export const EFR_FIELDS: readonly Field[] = [
  flag("PreFSup", 0, "Prefetch support"),
  flag("PPRSup", 1, "Peripheral page request support"),
  flag("XTSup", 2, "x2APIC support"),
  flag("NXSup", 3, "No-execute protection support"),
  flag("GTSup", 4, "Guest translation support"),
  flag("GAPPISup", 5, "Guest APIC physical processor interrupt support"),
  flag("IASup", 6, "INVALIDATE_IOMMU_ALL support"),
  flag("GASup", 7, "Guest virtual APIC support"),
  flag("HESup", 8, "Hardware error registers support"),
  flag("PCSup", 9, "Performance counters support"),
  field("HATS", 11, 10, "Host address translation size", levels),
  field("GATS", 13, 12, "Guest address translation size", levels),
  field("GLXSup", 15, 14, "Guest CR3 root table levels", oneOf("1 level", "2 levels", "3 levels")),
  field("SmiFSup", 17, 16, "SMI filter register support"),
  field("SmiFRC", 20, 18, "SMI filter register count"),
  field("GAMSup", 23, 21, "Guest virtual APIC modes support"),
  field("DualPprLogSup", 25, 24, "Dual peripheral page request log support"),
  field("DualEventLogSup", 29, 28, "Dual event log support"),
  field("PASmax", 36, 32, "Maximum PASID", (value) => `PASIDs of ${value + 1} bits`),
  flag("USSup", 37, "User/supervisor page protection support"),
  field("DevTblSegSup", 39, 38, "Device table segmentation support"),
  flag("PprOvrflwEarlySup", 40, "Page request log overflow early warning support"),
  flag("PPRAutoRspSup", 41, "Page request automatic response support"),
  field("MarcSup", 43, 42, "Memory access routing and control support"),
  flag("BlkStopMrkSup", 44, "Block stopmark message support"),
  flag("PerfOptSup", 45, "Performance optimization support"),
  flag("MsiCapMmioSup", 46, "MSI capability register MMIO access support"),
  flag("GIoSup", 48, "Guest I/O protection support"),
  flag("HASup", 49, "Host access support"),
  flag("EPHSup", 50, "Enhanced page request handling support"),
  flag("AttrFWSup", 51, "Attribute forward support"),
  flag("HDSup", 52, "Host dirty support"),
  flag("InvIotlbTypeSup", 54, "Invalidate IOTLB type support"),
  flag("GAUpdateDisSup", 61, "Disable hardware update on guest APIC table"),
  flag("ForcePhyDestSup", 62, "Force physical destination mode for remapped interrupts"),
  flag("SNPSup", 63, "Secure nested paging support"),
];

/** EFR2, offset 01A0h, from the lowest bit up. */
export const EFR2_FIELDS: readonly Field[] = [
  flag("SEVSNPIOSup", 1, "SEV-SNP I/O support"),
  flag("GCR3TRPMode", 3, "Guest CR3 table root pointer mode"),
  field("SNPAVICSup", 7, 5, "SNP AVIC support"),
  field("NumIntRemapSup", 9, 8, "Number of interrupt remapping entries support", oneOf("512", "2048")),
  flag("HTRangeIgnore", 11, "HyperTransport address range can be ignored"),
];

/** struct iommu_hw_info_amd, 16 bytes: u64 efr, u64 efr2. */
export interface AmdHwInfo {
  /** The Extended Feature Register, MMIO offset 0030h, 64 bits. */
  readonly efr: bigint;
  /** The Extended Feature 2 Register, MMIO offset 01A0h, 64 bits. */
  readonly efr2: bigint;
}

/** The fields of the registers. */
export interface AmdCapabilities {
  /** Fields of the registers. */
  readonly fields: { readonly efr: FieldValues; readonly efr2: FieldValues };
  /** The capabilities that follow from them. */
  readonly derived: {
    /** A guest's page tables can be walked (GTSup). */
    readonly guestTranslation: boolean;
    /**
     * Nested translation as Linux uses it, later than 6.19: GTSup, GIoSup, and GCR3TRPMode of EFR2
     * (drivers/iommu/amd/iommu.c, is_nest_parent_supported()).
     */
    readonly nestedTranslation: boolean;
    /** Levels of the host's page tables, at most; 0 for the reserved value. */
    readonly hostLevels: number;
    /** Levels of a guest's page tables, at most; 0 without guest translation, and for the reserved value. */
    readonly guestLevels: number;
    /** Width of PASIDs in bits, 0 without guest translation. */
    readonly pasidBits: number;
    /** Dirty tracking as Linux uses it (HDSup). */
    readonly dirtyTracking: boolean;
    /** Bits that are set and have no name here. */
    readonly unnamedBits: { readonly efr: readonly number[]; readonly efr2: readonly number[] };
  };
}

/** Reads struct iommu_hw_info_amd; undefined where the data is too short to be one. */
export function readAmdHwInfo(data: Uint8Array): AmdHwInfo | undefined {
  if (data.byteLength < 16) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return { efr: view.getBigUint64(0, true), efr2: view.getBigUint64(8, true) };
}

/**
 * Decodes the registers (AMD I/O Virtualization Technology Specification, 48882, MMIO offsets 0030h and 01A0h; the names
 * are its acronyms).
 */
export function decodeAmd({ efr, efr2 }: AmdHwInfo): AmdCapabilities {
  const fields = { efr: fieldValues(efr, EFR_FIELDS), efr2: fieldValues(efr2, EFR2_FIELDS) };
  const value = (name: string) => fields.efr[name] as number;
  const nests = value("GIoSup") === 1 && fields.efr2["GCR3TRPMode"] === 1;
  const guestTranslation = value("GTSup") === 1;
  const count = (size: number) => (size === 3 ? 0 : 4 + size);
  return {
    fields,
    derived: {
      guestTranslation,
      nestedTranslation: guestTranslation && nests,
      hostLevels: count(value("HATS")),
      guestLevels: guestTranslation ? count(value("GATS")) : 0,
      pasidBits: guestTranslation ? value("PASmax") + 1 : 0,
      dirtyTracking: value("HDSup") === 1,
      unnamedBits: { efr: reservedBits(efr, EFR_FIELDS), efr2: reservedBits(efr2, EFR2_FIELDS) },
    },
  };
}
