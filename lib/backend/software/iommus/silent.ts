/** An IOMMU whose driver gives no information, and has no domain_alloc_paging_flags() either. */

import { IOMMU_HW_INFO_TYPE_NONE } from "../../../uapi.ts";
import type { DomainProfile } from "../profile.ts";
import { Refusal } from "../refusal.ts";
import { type HwptFlags, Iommu } from "./iommu.ts";

/** Its model. */
export class SilentIommu extends Iommu {
  readonly hwInfoType = IOMMU_HW_INFO_TYPE_NONE;

  hwInfo(): Uint8Array {
    return new Uint8Array(0);
  }

  override pagingDomain(flags: HwptFlags): DomainProfile {
    if (flags.nestParent || flags.dirtyTracking || flags.pasid) throw new Refusal("EOPNOTSUPP");
    return super.pagingDomain(flags);
  }
}
