/**
 * Decodes VT-d's capability registers and struct iommu_hw_info_vtd.
 */

import { checkU64 } from "../arguments.ts";
import { type HwInfo, IOMMU_HW_INFO_TYPE_INTEL_VTD, IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 } from "../uapi.ts";
import { type FieldValues, fieldValues, reservedBits } from "./register.ts";
import { CAP_FIELDS, ECAP_FIELDS, sagawWidths, sslpsSizes } from "./vtd-registers.ts";

/** The content of two VT-d registers. */
export interface VtdCapabilities {
  /** Fields of CAP_REG. */
  readonly cap: FieldValues;
  /** Fields of ECAP_REG. */
  readonly ecap: FieldValues;
  /** The capabilities that follow from them. */
  readonly derived: VtdDerived;
}

/** The capabilities that follow from the fields: numbers, and features that need more than one bit. */
export interface VtdDerived {
  /** How many domain ids there are; 0 where ND has its reserved value. */
  readonly domains: number;
  /** Width of the addresses that DMA can use, in bits. */
  readonly maxGuestAddressWidth: number;
  /** Address widths of second-stage page tables, in bits. */
  readonly secondStageAddressWidths: readonly number[];
  /** Page sizes of second-stage page tables, in bytes. */
  readonly secondStagePageSizes: readonly number[];
  /** Address widths of first-stage page tables, in bits; empty where there is no first stage. */
  readonly firstStageAddressWidths: readonly number[];
  /** Page sizes of first-stage page tables, in bytes; empty where there is no first stage. */
  readonly firstStagePageSizes: readonly number[];
  /** Scalable mode: PASID-granular translation (SMTS). */
  readonly scalableMode: boolean;
  /** Nested translation can be used: it needs scalable mode (SMTS and NEST). */
  readonly nestedTranslation: boolean;
  /** Second-stage dirty tracking as Linux uses it: SMTS, SSADS and SMPWCS. */
  readonly dirtyTracking: boolean;
  /** Width of PASIDs in bits, 0 without PASID. */
  readonly pasidBits: number;
  /** Number of fault-recording registers. */
  readonly faultRecordingRegisters: number;
  /** Where the fault-recording registers are, in bytes from the register base. */
  readonly faultRecordingOffset: number;
  /** Where the IOTLB registers are, in bytes from the register base. */
  readonly iotlbOffset: number;
  /** Bits that are set although the specification reserves them. */
  readonly reservedBits: { readonly cap: readonly number[]; readonly ecap: readonly number[] };
}

/**
 * Decodes CAP_REG and ECAP_REG (VT-d specification, sections 11.4.2 and 11.4.3; the names are its acronyms).
 *
 * @param capReg the 64 bits of CAP_REG
 * @param ecapReg the 64 bits of ECAP_REG
 * @throws TypeError, RangeError: not 64-bit values
 */
export function decodeVtd(capReg: bigint, ecapReg: bigint): VtdCapabilities {
  const cap = fieldValues(checkU64(capReg, "capReg"), CAP_FIELDS);
  const ecap = fieldValues(checkU64(ecapReg, "ecapReg"), ECAP_FIELDS);
  return {
    cap,
    ecap,
    derived: {
      ...derive(
        (name) => cap[name] as number,
        (name) => ecap[name] as number,
      ),
      reservedBits: { cap: reservedBits(capReg, CAP_FIELDS), ecap: reservedBits(ecapReg, ECAP_FIELDS) },
    },
  };
}

function derive(
  cap: (name: string) => number,
  ecap: (name: string) => number,
): Omit<VtdDerived, "reservedBits"> {
  const scalableMode = ecap("SMTS") === 1;
  const firstStage = ecap("FSTS") === 1;
  return {
    domains: cap("ND") === 7 ? 0 : 2 ** (4 + 2 * cap("ND")),
    maxGuestAddressWidth: cap("MGAW") + 1,
    secondStageAddressWidths: sagawWidths(cap("SAGAW")),
    secondStagePageSizes: [4096, ...sslpsSizes(cap("SSLPS")).map(Number)],
    firstStageAddressWidths: firstStage ? [48, ...(cap("FS5LP") ? [57] : [])] : [],
    firstStagePageSizes: firstStage ? [2 ** 12, 2 ** 21, ...(cap("FS1GP") ? [2 ** 30] : [])] : [],
    scalableMode,
    nestedTranslation: scalableMode && ecap("NEST") === 1,
    dirtyTracking: scalableMode && ecap("SSADS") === 1 && ecap("SMPWCS") === 1,
    pasidBits: ecap("PASID") ? ecap("PSS") + 1 : 0,
    faultRecordingRegisters: cap("NFR") + 1,
    faultRecordingOffset: cap("FRO") * 16,
    iotlbOffset: ecap("IRO") * 16,
  };
}

/** struct iommu_hw_info_vtd, 24 bytes: u32 flags, u32 reserved, u64 cap_reg, u64 ecap_reg. */
export interface VtdHwInfo {
  /** enum iommu_hw_info_vtd_flags */
  readonly flags: number;
  /** CAP_REG, 64 bits (VT-d specification, section 11.4.2). */
  readonly capReg: bigint;
  /** ECAP_REG, 64 bits (VT-d specification, section 11.4.3). */
  readonly ecapReg: bigint;
}

/** Length of struct iommu_hw_info_vtd in bytes. */
const VTD_HW_INFO_LENGTH = 24;

/** Reads struct iommu_hw_info_vtd; undefined where the data is too short to be one. */
export function readVtdHwInfo(data: Uint8Array): VtdHwInfo | undefined {
  if (data.byteLength < VTD_HW_INFO_LENGTH) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return {
    flags: view.getUint32(0, true),
    capReg: view.getBigUint64(8, true),
    ecapReg: view.getBigUint64(16, true),
  };
}

/**
 * Whether hardware information reports ERRATA_772415_SPR17, as QEMU reads it (commit 68d3a2a24d): for VT-d, by the flag
 * in a whole struct iommu_hw_info_vtd. This is the one place that says so.
 *
 * @returns undefined: it is of VT-d, and has too little data to hold the flag
 */
export function reportsErratum772415({ type, data }: Pick<HwInfo, "type" | "data">): boolean | undefined {
  if (type !== IOMMU_HW_INFO_TYPE_INTEL_VTD) return false;
  const info = readVtdHwInfo(data);
  return info && (info.flags & IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17) !== 0;
}
