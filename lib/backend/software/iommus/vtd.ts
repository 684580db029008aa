/** Intel VT-d (drivers/iommu/intel/). */

import { type DriverData, IOMMU_HW_INFO_TYPE_INTEL_VTD, VTD_FLAG_BITS } from "../../../uapi.ts";
import type { HwInfoProfile, IommuProfile } from "../profile.ts";
import { Refusal } from "../refusal.ts";
import { Iommu } from "./iommu.ts";
import type { Stage1 } from "./stage-1.ts";
import { VtdStage1 } from "./vtd-stage-1.ts";

/** Its model. */
export class VtdIommu extends Iommu {
  readonly hwInfoType = IOMMU_HW_INFO_TYPE_INTEL_VTD;
  readonly #hwInfo: HwInfoProfile<"intel-vtd">;

  constructor(profile: IommuProfile, hwInfo: HwInfoProfile<"intel-vtd">) {
    super(profile);
    this.#hwInfo = hwInfo;
  }

  override get reportsErratum(): boolean {
    return this.#hwInfo.flags.includes("ERRATA_772415_SPR17");
  }

  /** struct iommu_hw_info_vtd, 24 bytes: u32 flags, u32 reserved, u64 cap_reg, u64 ecap_reg. */
  hwInfo(): Uint8Array {
    const { flags, capReg, ecapReg } = this.#hwInfo;
    const view = new DataView(new ArrayBuffer(24));
    view.setUint32(
      0,
      flags.reduce((bits, name) => bits | (1 << VTD_FLAG_BITS[name]), 0),
      true,
    );
    view.setBigUint64(8, capReg, true);
    view.setBigUint64(16, ecapReg, true);
    return new Uint8Array(view.buffer);
  }

  /** intel_iommu_domain_alloc_nested() */
  override allocNested(data: DriverData): Stage1 {
    if (this.profile.domains.nestParent === undefined) throw new Refusal("EOPNOTSUPP");
    return VtdStage1.of(data);
  }
}
