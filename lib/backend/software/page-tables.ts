/**
 * What a device is attached to: hardware page tables, and the address spaces and IOMMUs behind them
 * (drivers/iommu/iommufd/hw_pagetable.c, drivers/iommu/intel/).
 */

import { type LinuxErrorCode, systemError } from "../../errors.ts";
import type { BatchOutcome, DirtyBitmapRequest, HwptAllocRequest, InvalidateRequest } from "../backend.ts";
import {
  type DriverData,
  type HwptVtdS1,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_VTD_INV_FLAGS_LEAF,
  type IovaRange,
} from "../uapi.ts";
import { AddressSpace, type Domain } from "./address-space.ts";
import { DirtyPages } from "./dirty-pages.ts";
import type { LockedMemory } from "./locked-memory.ts";
import { KernelObject } from "./object-table.ts";
import type { DeviceProfile, DomainProfile, IommuProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";

const HWPT_FLAGS =
  IOMMU_HWPT_ALLOC_NEST_PARENT |
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
  IOMMU_HWPT_FAULT_ID_VALID |
  IOMMU_HWPT_ALLOC_PASID;

/** ERRATA_772415_SPR17 as the kernel reports it of this IOMMU. */
function reportsErratum(iommu: IommuProfile): boolean {
  return iommu.hwInfo.type === "intel-vtd" && iommu.hwInfo.flags.includes("ERRATA_772415_SPR17");
}

/** IOMMUFD_OBJ_IOAS */
export class IoasObject extends KernelObject {
  readonly space: AddressSpace;
  /** The page tables made for it, in order. */
  readonly hwpts: PagingHwptObject[] = [];

  constructor(pageSize: number, limit: LockedMemory) {
    super();
    this.space = new AddressSpace(pageSize, limit);
  }

  override destroy(): void {}
}

/** How a paging HWPT was asked for. */
export interface PagingHwptOptions {
  nestParent: boolean;
  dirtyTracking: boolean;
  /** Takes PASIDs beside it. */
  pasid: boolean;
  /** Made by attaching a device to an IOAS, and destroyed with its last attachment. */
  automatic: boolean;
}

/** What both kinds of HWPT have. */
abstract class AnyHwptObject extends KernelObject {
  /** Where faults go. */
  faultQueue: KernelObject | undefined;

  override destroy(): void {
    if (this.faultQueue !== undefined) this.faultQueue.users--;
  }
}

/** IOMMUFD_OBJ_HWPT_PAGING */
export class PagingHwptObject extends AnyHwptObject implements Domain {
  readonly ioas: IoasObject;
  readonly iommu: IommuProfile;
  readonly options: PagingHwptOptions;
  readonly profile: DomainProfile;
  readonly forceWriteable: boolean;
  readonly #dirty = new DirtyPages();
  #tracking = false;

  /** iommufd_hwpt_paging_alloc(): EOPNOTSUPP, or whatever adding the domain to the address space answers. */
  constructor(ioas: IoasObject, iommu: IommuProfile, options: PagingHwptOptions) {
    super();
    this.ioas = ioas;
    this.iommu = iommu;
    this.options = options;
    this.profile = domainFor(iommu, options);
    this.forceWriteable = options.nestParent && reportsErratum(iommu);
    ioas.space.addDomain(this);
    ioas.users++;
    ioas.hwpts.push(this);
  }

  /** The domain that has the mappings: itself. */
  get paging(): PagingHwptObject {
    return this;
  }

  /** Whether a device behind an IOMMU can use it: paging_domain_compatible(). */
  checkCompatible(iommu: IommuProfile): void {
    if (iommu === this.iommu) return;
    if (iommu.hwInfo.type !== this.iommu.hwInfo.type) throw new Refusal("EINVAL");
    const { nestParent, dirtyTracking } = iommu.domains;
    if (this.options.nestParent && nestParent === undefined) throw new Refusal("EINVAL");
    if (this.options.dirtyTracking && dirtyTracking === undefined) throw new Refusal("EINVAL");
    const theirs = domainFor(iommu, this.options);
    if (theirs.aperture.last < this.profile.aperture.last) throw new Refusal("EINVAL");
    if (!this.profile.pageSizes.every((size) => theirs.pageSizes.includes(size))) throw new Refusal("EINVAL");
  }

  /** Whether the hardware has ERRATA_772415_SPR17, whatever the kernel knows of it. */
  get hasErratum(): boolean {
    return this.iommu.erratum772415 ?? reportsErratum(this.iommu);
  }

  /** DMA has written to an address. */
  wrote(iova: bigint): void {
    if (this.#tracking) this.#dirty.add(iova);
  }

  unmapped(area: IovaRange): void {
    if (this.#tracking) this.#dirty.delete(area);
  }

  /** iommufd_hwpt_set_dirty_tracking(): starting forgets what was noted. */
  setDirtyTracking(enabled: boolean): void {
    if (!this.options.dirtyTracking) throw new Refusal("EOPNOTSUPP");
    if (enabled) this.#dirty.clear();
    this.#tracking = enabled;
  }

  /** iommufd_hwpt_get_dirty_bitmap() */
  dirtyBitmap({ iova, length, pageSize, flags }: DirtyBitmapRequest): Uint8Array {
    // iommufd_check_iova_range()
    const end = iova + BigInt.asUintN(64, length - 1n) + 1n;
    if (end > 1n << 64n) throw new Refusal("EOVERFLOW");
    const { alignment } = this.ioas.space.iovaRanges();
    if ((iova | end) & (alignment - 1n) || pageSize === 0n || (iova | end) & (pageSize - 1n)) {
      throw new Refusal("EINVAL");
    }
    if (!this.options.dirtyTracking) throw new Refusal("EOPNOTSUPP");
    const bitmap = this.#dirty.bitmap(iova, length, pageSize);
    if (!(flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)) this.#dirty.delete({ start: iova, last: end - 1n });
    return bitmap;
  }

  override destroy(): void {
    super.destroy();
    this.ioas.hwpts.splice(this.ioas.hwpts.indexOf(this), 1);
    this.ioas.space.removeDomain(this);
    this.ioas.users--;
  }
}

/** struct iommu_hwpt_vtd_s1, 24 bytes: u64 flags, u64 pgtbl_addr, u32 addr_width, u32 reserved. */
function readVtdS1({ type, bytes }: DriverData): HwptVtdS1 {
  if (type !== IOMMU_HWPT_DATA_VTD_S1) throw new Refusal("EOPNOTSUPP");
  if (bytes.length !== 24) throw new Refusal("EINVAL");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    flags: view.getBigUint64(0, true),
    pgtblAddr: view.getBigUint64(8, true),
    addrWidth: view.getUint32(16, true),
  };
}

/** IOMMUFD_OBJ_HWPT_NESTED */
export class NestedHwptObject extends AnyHwptObject {
  readonly parent: PagingHwptObject;
  readonly options: Pick<PagingHwptOptions, "pasid">;
  readonly data: HwptVtdS1;

  /** iommufd_hwpt_nested_alloc(), intel_iommu_domain_alloc_nested() */
  constructor(
    parent: PagingHwptObject,
    iommu: IommuProfile,
    data: DriverData,
    options: Pick<PagingHwptOptions, "pasid">,
  ) {
    super();
    if (iommu.hwInfo.type !== "intel-vtd") throw new Refusal("EOPNOTSUPP");
    if (parent.options.automatic || !parent.options.nestParent) throw new Refusal("EINVAL");
    if (iommu.domains.nestParent === undefined) throw new Refusal("EOPNOTSUPP");
    this.parent = parent;
    this.options = options;
    this.data = readVtdS1(data);
    parent.users++;
  }

  /** intel_nested_cache_invalidate_user(); what was handled stays handled. */
  invalidate({ dataType, entryLength, count, entries }: InvalidateRequest): BatchOutcome {
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    if (dataType !== IOMMU_HWPT_INVALIDATE_DATA_VTD_S1) throw new Refusal("EINVAL");
    // struct iommu_hwpt_vtd_s1_invalidate: u64 addr, u64 npages, u32 flags, u32 reserved
    if (count > 0 && entryLength !== 24) throw new Refusal("EINVAL");
    for (let done = 0; done < count; done++) {
      const at = done * 24;
      const address = view.getBigUint64(at, true);
      const pages = view.getBigUint64(at + 8, true);
      const flags = view.getUint32(at + 16, true);
      const reserved = view.getUint32(at + 20, true);
      if (flags & ~IOMMU_VTD_INV_FLAGS_LEAF || reserved !== 0) return refuse(done, "EOPNOTSUPP");
      const everything = pages === (1n << 64n) - 1n;
      if (address & 4095n || (everything && address !== 0n)) return refuse(done, "EINVAL");
    }
    return { done: count };
  }

  /** The domain that has the mappings: the parent's. */
  get paging(): PagingHwptObject {
    return this.parent;
  }

  /** intel_nested_attach_dev(), intel_pasid_setup_nested() */
  checkCompatible(iommu: IommuProfile): void {
    this.parent.checkCompatible(iommu);
    if (iommu.hwInfo.type !== "intel-vtd") throw new Refusal("EINVAL");
    const { capReg, ecapReg } = iommu.hwInfo;
    const has = (register: bigint, bit: bigint) => ((register >> bit) & 1n) === 1n;
    const widths = has(capReg, 60n) ? [48, 57] : [48]; // CAP.FS5LP
    if (!widths.includes(this.data.addrWidth)) throw new Refusal("EINVAL");
    if (has(this.data.flags, 0n) && !has(ecapReg, 31n)) throw new Refusal("EINVAL"); // SRE needs ECAP.SRS
    if (has(this.data.flags, 1n) && !has(ecapReg, 34n)) throw new Refusal("EINVAL"); // EAFE needs ECAP.EAFS
  }

  override destroy(): void {
    super.destroy();
    this.parent.users--;
  }
}

function refuse(done: number, code: LinuxErrorCode): BatchOutcome {
  return { done, error: systemError(code, "IOMMU_HWPT_INVALIDATE", { index: done }) };
}

/** Either kind. */
export type HwptObject = PagingHwptObject | NestedHwptObject;

/** iommufd_hwpt_paging_alloc() on an IOAS, iommufd_hwpt_nested_alloc() on a HWPT. */
export function makeHwpt(
  parent: KernelObject | undefined,
  { iommu, profile }: { iommu: IommuProfile; profile: DeviceProfile },
  flags: number,
  data: HwptAllocRequest["data"],
): HwptObject {
  if (parent instanceof IoasObject) {
    if (flags & ~HWPT_FLAGS) throw new Refusal("EOPNOTSUPP");
    // A driver that tells nothing has no domain_alloc_paging_flags either.
    if (iommu.hwInfo.type === "none" && flags !== 0) throw new Refusal("EOPNOTSUPP");
    const nestParent = (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
    const dirtyTracking = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
    if (dirtyTracking && !profile.outCapabilities.includes("DIRTY_TRACKING")) throw new Refusal("EOPNOTSUPP");
    if (flags & IOMMU_HWPT_FAULT_ID_VALID && nestParent) throw new Refusal("EOPNOTSUPP");
    if (data !== undefined) throw new Refusal("EOPNOTSUPP");
    const pasid = (flags & IOMMU_HWPT_ALLOC_PASID) !== 0;
    return new PagingHwptObject(parent, iommu, { nestParent, dirtyTracking, pasid, automatic: false });
  }
  if (parent instanceof PagingHwptObject) {
    if (flags & ~(IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID)) throw new Refusal("EOPNOTSUPP");
    if (data === undefined) throw new Refusal("EOPNOTSUPP");
    const pasid = (flags & IOMMU_HWPT_ALLOC_PASID) !== 0;
    return new NestedHwptObject(parent, iommu, data, { pasid });
  }
  throw new Refusal("EINVAL");
}

/** Data of a driver, or that there is none: the type and the length have to agree. */
export function driverData(data: HwptAllocRequest["data"]): DriverData | undefined {
  if (data === undefined) return undefined;
  if ((data.type === IOMMU_HWPT_DATA_NONE) !== (data.bytes.length === 0)) throw new Refusal("EINVAL");
  return data.type === IOMMU_HWPT_DATA_NONE ? undefined : data;
}

function domainFor(
  { domains }: IommuProfile,
  options: Pick<PagingHwptOptions, "nestParent" | "dirtyTracking">,
): DomainProfile {
  const { plain, nestParent, dirtyTracking } = domains;
  if (options.dirtyTracking && dirtyTracking === undefined) throw new Refusal("EOPNOTSUPP");
  const domain = options.nestParent ? nestParent : options.dirtyTracking ? dirtyTracking : plain;
  if (domain === undefined) throw new Refusal("EOPNOTSUPP");
  return domain;
}
