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
} from "../backend/uapi.ts";
import { decodeVtd, readVtdHwInfo, type VtdCapabilities, type VtdHwInfo } from "./vtd.ts";

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
  /** Generic capabilities by name, without IOMMU_HW_CAP_; one without a name is "BIT_n". */
  readonly outCapabilities: readonly string[];
  /** Width of PASIDs in bits, 0 where PASID is not enabled for the device. */
  readonly maxPasidLog2: number;
  /** For type "intel-vtd" with at least 24 bytes of data. */
  readonly vtd?: VtdHwInfo & VtdCapabilities;
}

/** Decodes the answer of {@link Device.hwInfo}. */
export function decodeHwInfo(info: HwInfo): DecodedHwInfo {
  const vtd = info.type === IOMMU_HW_INFO_TYPE_INTEL_VTD ? readVtdHwInfo(info.data) : undefined;
  return {
    type: TYPE_NAMES[info.type] ?? `type-${info.type}`,
    typeId: info.type,
    flags: vtd === undefined ? [] : bitNames(BigInt(vtd.flags), VTD_FLAG_BITS),
    outCapabilities: bitNames(info.capabilities, HW_CAPABILITY_BITS),
    maxPasidLog2: info.maxPasidLog2,
    ...(vtd !== undefined && { vtd: { ...vtd, ...decodeVtd(vtd.capReg, vtd.ecapReg) } }),
  };
}
