/** An IOMMU whose driver gives no information, and has no domain_alloc_paging_flags() either. */

import { IOMMU_HW_INFO_TYPE_NONE } from "../../../uapi.ts";
import { Iommu } from "./iommu.ts";

/** Its model. In Linux 7.2, no driver has one of the two alone. */
export class SilentIommu extends Iommu {
  readonly hwInfoType = IOMMU_HW_INFO_TYPE_NONE;
  override readonly takesPagingFlags = false;

  hwInfo(): Uint8Array {
    return new Uint8Array(0);
  }
}
