/** An IOMMU of the machine, and what its driver answers (struct iommu_ops). One class for each driver. */

import type { DriverData } from "../../../uapi.ts";
import type { DeviceProfile, DomainProfile, IommuProfile } from "../profile.ts";
import { Refusal } from "../refusal.ts";
import type { Stage1 } from "./stage-1.ts";
import type { ViommuDriver } from "./viommu-driver.ts";

/** IOMMU_HWPT_ALLOC_*: how a paging HWPT is asked for. */
export interface HwptFlags {
  readonly nestParent: boolean;
  readonly dirtyTracking: boolean;
  /** Takes PASIDs beside it. */
  readonly pasid: boolean;
}

/** A page table that another IOMMU may be able to walk. */
interface MadeDomain {
  readonly iommu: Iommu;
  readonly options: HwptFlags;
  readonly profile: DomainProfile;
}

/** The common part of all IOMMUs, and the behaviour of most drivers. */
export abstract class Iommu {
  readonly profile: IommuProfile;

  constructor(profile: IommuProfile) {
    this.profile = profile;
  }

  /** enum iommu_hw_info_type: the first type of its driver. */
  abstract readonly hwInfoType: number;

  /** Whether the driver has domain_alloc_paging_flags(). Without, a paging HWPT takes neither flags nor data. */
  readonly takesPagingFlags: boolean = true;

  /** hw_info(): the driver's structure. */
  abstract hwInfo(): Uint8Array;

  /** ERRATA_772415_SPR17 as the kernel reports it of this IOMMU. */
  get reportsErratum(): boolean {
    return false;
  }

  /** domain_alloc_paging_flags(): the domain that is made, or EOPNOTSUPP. */
  pagingDomain({ nestParent, dirtyTracking }: HwptFlags): DomainProfile {
    const { domains } = this.profile;
    if (dirtyTracking && domains.dirtyTracking === undefined) throw new Refusal("EOPNOTSUPP");
    return made(nestParent ? domains.nestParent : dirtyTracking ? domains.dirtyTracking : domains.plain);
  }

  /** domain_alloc_paging_flags(): whether it takes data for a page table that is not nested; most drivers take none. */
  checkPagingData(_data: DriverData): void {
    throw new Refusal("EOPNOTSUPP");
  }

  /** attach_dev() of a paging domain: EINVAL where this IOMMU cannot walk it. */
  checkDomain({ iommu, options, profile }: MadeDomain): void {
    if (iommu === this) return;
    if (iommu.hwInfoType !== this.hwInfoType) throw new Refusal("EINVAL");
    const { nestParent, dirtyTracking } = this.profile.domains;
    if (options.nestParent && nestParent === undefined) throw new Refusal("EINVAL");
    if (options.dirtyTracking && dirtyTracking === undefined) throw new Refusal("EINVAL");
    const ours = this.pagingDomain(options);
    if (ours.aperture.last < profile.aperture.last) throw new Refusal("EINVAL");
    if (!profile.pageSizes.every((size) => ours.pageSizes.includes(size))) throw new Refusal("EINVAL");
  }

  /** attach_dev() of a domain whose faults go to a queue: ENODEV where the device has none to send. */
  checkFaultQueue(device: DeviceProfile): void {
    if (!device.pri) throw new Refusal("ENODEV");
  }

  /** domain_alloc_nested(): a first stage on a nest parent. Absent: the driver makes it on a vIOMMU only, or not at all. */
  allocNested?(data: DriverData): Stage1;

  /** get_viommu_size(): whether there are vIOMMUs of that type. */
  hasViommu(_type: number): boolean {
    return false;
  }

  /** viommu_init(), on a nest parent of that IOMMU. */
  viommu(_parent: Iommu): ViommuDriver {
    throw new Refusal("EOPNOTSUPP");
  }
}

/** A domain that is made, or EOPNOTSUPP. */
export function made(domain: DomainProfile | undefined): DomainProfile {
  if (domain === undefined) throw new Refusal("EOPNOTSUPP");
  return domain;
}
