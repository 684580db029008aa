/**
 * Known errata of host IOMMUs, as rules for those who map memory behind them.
 */

import { readVtdHwInfo } from "../hw-info/vtd.ts";
import { IOMMU_HW_INFO_TYPE_INTEL_VTD, IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 } from "../uapi.ts";

/** A rule that a host IOMMU imposes. */
export type HostIommuQuirk =
  /**
   * No read-only mapping may be in a nest parent. With nested translation the IOMMU may set Accessed and Dirty
   * bits in first-stage page tables that the second stage maps read-only (ERRATA_772415_SPR17).
   */
  "NESTING_PARENT_BYPASS_RO";

/**
 * The quirks that hardware information tells of.
 *
 * The rule is QEMU's (commit 68d3a2a24d): the type is INTEL_VTD, the data is at least a whole struct
 * iommu_hw_info_vtd (24 bytes), and its flag ERRATA_772415_SPR17 is set. Shorter data, or data of another type,
 * tells of no quirk.
 *
 * @param type enum iommu_hw_info_type
 * @param data the vendor's structure
 */
export function hostIommuQuirks(type: number, data: Uint8Array): HostIommuQuirk[] {
  if (type !== IOMMU_HW_INFO_TYPE_INTEL_VTD) return [];
  const info = readVtdHwInfo(data);
  if (info === undefined || (info.flags & IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17) === 0) return [];
  return ["NESTING_PARENT_BYPASS_RO"];
}
