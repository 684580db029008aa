/** AMD's IOMMU (drivers/iommu/amd/). Linux 7.2 makes no nested page tables on it, on its vIOMMUs neither. */

import { IOMMU_HW_INFO_TYPE_AMD } from "../../../uapi.ts";
import type { DomainProfile, HwInfoProfile, IommuProfile } from "../profile.ts";
import { Refusal } from "../refusal.ts";
import { type HwptFlags, Iommu, made } from "./iommu.ts";
import type { ViommuDriver } from "./viommu-driver.ts";

/** Its model. */
export class AmdIommu extends Iommu {
  readonly hwInfoType = IOMMU_HW_INFO_TYPE_AMD;
  readonly #hwInfo: HwInfoProfile<"amd">;

  constructor(profile: IommuProfile, hwInfo: HwInfoProfile<"amd">) {
    super(profile);
    this.#hwInfo = hwInfo;
  }

  /** struct iommu_hw_info_amd, 16 bytes: u64 efr, u64 efr2. */
  hwInfo(): Uint8Array {
    return new Uint8Array(BigUint64Array.of(this.#hwInfo.efr, this.#hwInfo.efr2).buffer);
  }

  /** amd_iommu_domain_alloc_paging_flags(): page tables for PASIDs are of another format, and nothing else. */
  override pagingDomain(flags: HwptFlags): DomainProfile {
    if (!flags.pasid) return super.pagingDomain(flags);
    if (flags.nestParent || flags.dirtyTracking) throw new Refusal("EOPNOTSUPP");
    return made(this.profile.domains.pasid);
  }

  /** amd_iommu_attach_device() does not ask whether a device has faults to send. */
  override checkFaultQueue(): void {}

  /** amd_iommufd_get_viommu_size() does not ask which type. */
  override hasViommu(): boolean {
    return true;
  }

  /** amd_iommufd_viommu_init(); amd_viommu_ops has nothing else than to destroy it. */
  override viommu(): ViommuDriver {
    return {};
  }
}
