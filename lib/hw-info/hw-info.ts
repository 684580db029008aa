/**
 * Decodes what IOMMU_GET_HW_INFO answers.
 */

import {
  bitNames,
  HW_CAPABILITY_BITS,
  type HwInfo,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
  VTD_FLAG_BITS,
} from "../uapi.ts";
import { type AmdCapabilities, type AmdHwInfo, decodeAmd, readAmdHwInfo } from "./amd.ts";
import {
  decodeSmmuv3,
  readSmmuv3HwInfo,
  readTegra241CmdqvHwInfo,
  type Smmuv3Capabilities,
  type Smmuv3HwInfo,
  type Tegra241CmdqvHwInfo,
} from "./smmuv3.ts";
import {
  decodeVtd,
  readVtdHwInfo,
  reportsErratum772415,
  type VtdCapabilities,
  type VtdHwInfo,
} from "./vtd.ts";

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [IOMMU_HW_INFO_TYPE_NONE]: "none",
  [IOMMU_HW_INFO_TYPE_INTEL_VTD]: "intel-vtd",
  [IOMMU_HW_INFO_TYPE_ARM_SMMUV3]: "arm-smmuv3",
  [IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV]: "tegra241-cmdqv",
  [IOMMU_HW_INFO_TYPE_AMD]: "amd",
};

/** Hardware information, decoded. */
export interface DecodedHwInfo {
  /** "intel-vtd", "arm-smmuv3", "tegra241-cmdqv", "amd", "none"; "type-N" for one that is not known here. */
  readonly type: string;
  /** enum iommu_hw_info_type */
  readonly typeId: number;
  /** Flags of the vendor's structure by name; one without a name is "BIT_n". Empty where there are none, or they are not known. */
  readonly flags: readonly string[];
  /**
   * Whether the IOMMU reports ERRATA_772415_SPR17. Undefined for type "intel-vtd" with too little data: then nothing is
   * known.
   */
  readonly erratum772415: boolean | undefined;
  /** Generic capabilities by name, without IOMMU_HW_CAP_; one without a name is "BIT_n". */
  readonly outCapabilities: readonly string[];
  /** Width of PASIDs in bits, 0 where PASID is not enabled for the device. */
  readonly maxPasidLog2: number;
  /** For type "intel-vtd" with at least 24 bytes of data. */
  readonly vtd?: VtdHwInfo & VtdCapabilities;
  /** For type "amd" with at least 16 bytes of data. */
  readonly amd?: AmdHwInfo & AmdCapabilities;
  /** For type "arm-smmuv3" with at least 40 bytes of data. */
  readonly smmuv3?: Smmuv3HwInfo & Smmuv3Capabilities;
  /** For type "tegra241-cmdqv" with at least 8 bytes of data. */
  readonly tegra241Cmdqv?: Tegra241CmdqvHwInfo;
}

/** Decodes the answer of {@link Device.hwInfo}. */
export function decodeHwInfo(info: HwInfo): DecodedHwInfo {
  const read = <Value>(type: number, reader: (data: Uint8Array) => Value | undefined) =>
    info.type === type ? reader(info.data) : undefined;
  const vtd = read(IOMMU_HW_INFO_TYPE_INTEL_VTD, readVtdHwInfo);
  const amd = read(IOMMU_HW_INFO_TYPE_AMD, readAmdHwInfo);
  const smmuv3 = read(IOMMU_HW_INFO_TYPE_ARM_SMMUV3, readSmmuv3HwInfo);
  const tegra241Cmdqv = read(IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV, readTegra241CmdqvHwInfo);
  return {
    type: TYPE_NAMES[info.type] ?? `type-${info.type}`,
    typeId: info.type,
    flags: vtd === undefined ? [] : bitNames(BigInt(vtd.flags), VTD_FLAG_BITS),
    erratum772415: reportsErratum772415(info),
    outCapabilities: bitNames(info.capabilities, HW_CAPABILITY_BITS),
    maxPasidLog2: info.maxPasidLog2,
    ...(vtd !== undefined && { vtd: { ...vtd, ...decodeVtd(vtd.capReg, vtd.ecapReg) } }),
    ...(amd !== undefined && { amd: { ...amd, ...decodeAmd(amd) } }),
    ...(smmuv3 !== undefined && { smmuv3: { ...smmuv3, ...decodeSmmuv3(smmuv3) } }),
    ...(tegra241Cmdqv !== undefined && { tegra241Cmdqv }),
  };
}
