/** IOMMU_HWPT_ALLOC: which kind of page table is made, and the checks before that (drivers/iommu/iommufd/hw_pagetable.c). */

import {
  type DriverData,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_FAULT_ID_VALID,
} from "../../uapi.ts";
import type { HwptAllocRequest } from "../requests.ts";
import type { Iommu } from "./iommus/iommu.ts";
import type { Stage1 } from "./iommus/stage-1.ts";
import type { KernelRelease } from "./kernel-release.ts";
import type { KernelObject } from "./object-table.ts";
import {
  type HwptObject,
  IoasObject,
  NestedHwptObject,
  type NestParent,
  PagingHwptObject,
} from "./page-tables.ts";
import type { DeviceProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";
import { ViommuObject } from "./viommu.ts";

/** iommufd_hwpt_paging_alloc() on an IOAS, iommufd_hwpt_nested_alloc() on a HWPT. */
export function makeHwpt(
  parent: KernelObject | undefined,
  { iommu, profile }: { iommu: Iommu; profile: DeviceProfile },
  flags: number,
  data: DriverData | undefined,
  release: KernelRelease,
): HwptObject {
  const pasidFlag = release.takes("pasid") ? IOMMU_HWPT_ALLOC_PASID : 0;
  if (parent instanceof IoasObject) {
    if ((flags !== 0 || data !== undefined) && !iommu.takesPagingFlags) throw new Refusal("EOPNOTSUPP");
    const faultFlag = release.takes("pagingFaultQueue") ? IOMMU_HWPT_FAULT_ID_VALID : 0;
    const known = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | faultFlag | pasidFlag;
    if (flags & ~known) throw new Refusal("EOPNOTSUPP");
    const nestParent = (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
    const dirtyTracking = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
    if (dirtyTracking && !profile.outCapabilities.includes("DIRTY_TRACKING")) throw new Refusal("EOPNOTSUPP");
    if (flags & IOMMU_HWPT_FAULT_ID_VALID && nestParent) throw new Refusal("EOPNOTSUPP");
    if (data !== undefined && !release.takes("pagingData")) throw new Refusal("EOPNOTSUPP");
    if (data !== undefined) iommu.checkPagingData(data);
    const pasid = (flags & IOMMU_HWPT_ALLOC_PASID) !== 0;
    return new PagingHwptObject(parent, iommu, { nestParent, dirtyTracking, pasid, automatic: false });
  }
  const nestedFlags = IOMMU_HWPT_FAULT_ID_VALID | pasidFlag;
  if (parent instanceof ViommuObject) {
    if (parent.iommu !== iommu) throw new Refusal("EINVAL");
    if (flags & ~nestedFlags) throw new Refusal("EOPNOTSUPP");
    const { driver } = parent;
    return makeNested({ hwpt: parent.parent, viommu: parent }, driver.allocNested?.bind(driver), flags, data);
  }
  if (parent instanceof PagingHwptObject) {
    if (flags & ~nestedFlags) throw new Refusal("EOPNOTSUPP");
    return makeNested({ hwpt: parent }, iommu.allocNested?.bind(iommu), flags, data);
  }
  throw new Refusal("EINVAL");
}

/** @param alloc alloc_domain_nested() of the vIOMMU's driver, or domain_alloc_nested() of the IOMMU's */
function makeNested(
  parent: NestParent,
  alloc: ((data: DriverData, flags: { readonly pasid: boolean }) => Stage1) | undefined,
  flags: number,
  data: DriverData | undefined,
): NestedHwptObject {
  if (data === undefined || alloc === undefined) throw new Refusal("EOPNOTSUPP");
  const { options } = parent.hwpt;
  if (options.automatic || !options.nestParent) throw new Refusal("EINVAL");
  const pasid = (flags & IOMMU_HWPT_ALLOC_PASID) !== 0;
  return new NestedHwptObject(parent, alloc(data, { pasid }), { pasid });
}

/** Data of a driver, or that there is none: the type and the length have to agree. */
export function driverData(data: HwptAllocRequest["data"]): DriverData | undefined {
  if (data === undefined) return undefined;
  if ((data.type === IOMMU_HWPT_DATA_NONE) !== (data.bytes.length === 0)) throw new Refusal("EINVAL");
  return data.type === IOMMU_HWPT_DATA_NONE ? undefined : data;
}
