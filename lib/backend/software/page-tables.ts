/**
 * What a device is attached to: hardware page tables, and the address spaces and IOMMUs behind them
 * (drivers/iommu/iommufd/hw_pagetable.c, drivers/iommu/intel/).
 */

import {
  type DriverData,
  type HwptVtdS1,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_VTD_INV_FLAGS_LEAF,
  type IovaRange,
} from "../../uapi.ts";
import type { BatchStatus } from "../raw.ts";
import type { DirtyBitmapRequest, InvalidateRequest } from "../requests.ts";
import { DirtyPages } from "./dirty-pages.ts";
import { type Domain, IoPagetable } from "./io-pagetable.ts";
import type { LockedMemory } from "./locked-memory.ts";
import { KernelObject } from "./object-table.ts";
import type { DomainProfile, IommuProfile } from "./profile.ts";
import { Refusal, stoppedAt } from "./refusal.ts";
import { IOTLB_ENTRIES, SELFTEST } from "./selftest.ts";

/** ERRATA_772415_SPR17 as the kernel reports it of this IOMMU. */
function reportsErratum(iommu: IommuProfile): boolean {
  return iommu.hwInfo.type === "intel-vtd" && iommu.hwInfo.flags.includes("ERRATA_772415_SPR17");
}

/** IOMMUFD_OBJ_IOAS */
export class IoasObject extends KernelObject {
  readonly iopt: IoPagetable;
  /** The page tables made for it, in order. */
  readonly hwpts: PagingHwptObject[] = [];

  constructor(pageSize: number, limit: LockedMemory) {
    super();
    this.iopt = new IoPagetable(pageSize, limit);
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
  readonly forceWritable: boolean;
  readonly #dirty = new DirtyPages();
  #tracking = false;

  /** iommufd_hwpt_paging_alloc(): EOPNOTSUPP, or whatever adding the domain to the address space answers. */
  constructor(ioas: IoasObject, iommu: IommuProfile, options: PagingHwptOptions) {
    super();
    this.ioas = ioas;
    this.iommu = iommu;
    this.options = options;
    this.profile = domainFor(iommu, options);
    this.forceWritable = options.nestParent && reportsErratum(iommu);
    ioas.iopt.addDomain(this);
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
    const { alignment } = this.ioas.iopt.iovaRanges();
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
    this.ioas.iopt.removeDomain(this);
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

/** struct iommu_hwpt_selftest: u32 iotlb, u32 pagetable_type, of which the last may be missing. */
function readSelftest({ type, bytes }: DriverData): Uint32Array {
  if (type !== SELFTEST.hwptDataType) throw new Refusal("EOPNOTSUPP");
  if (bytes.length < 4 || bytes.length > 8) throw new Refusal("EINVAL");
  const iotlb = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  return new Uint32Array(IOTLB_ENTRIES).fill(iotlb);
}

/** What a nested HWPT is made on: a nest parent, or a vIOMMU on top of one. */
export interface NestParent {
  readonly hwpt: PagingHwptObject;
  readonly viommu?: KernelObject | undefined;
}

/** IOMMUFD_OBJ_HWPT_NESTED */
export class NestedHwptObject extends AnyHwptObject {
  readonly parent: PagingHwptObject;
  /** What it was made on, where that is a vIOMMU. */
  readonly viommu: KernelObject | undefined;
  readonly options: Pick<PagingHwptOptions, "pasid">;
  readonly #data: HwptVtdS1 | Uint32Array;

  /** iommufd_hwpt_nested_alloc(), and the driver's domain_alloc_nested() */
  constructor(
    { hwpt, viommu }: NestParent,
    iommu: IommuProfile,
    data: DriverData,
    options: Pick<PagingHwptOptions, "pasid">,
  ) {
    super();
    if (iommu.hwInfo.type === "none") throw new Refusal("EOPNOTSUPP");
    if (hwpt.options.automatic || !hwpt.options.nestParent) throw new Refusal("EINVAL");
    if (iommu.domains.nestParent === undefined) throw new Refusal("EOPNOTSUPP");
    this.parent = hwpt;
    this.viommu = viommu;
    this.options = options;
    this.#data = iommu.hwInfo.type === "selftest" ? readSelftest(data) : readVtdS1(data);
    (viommu ?? hwpt).users++;
  }

  /** A guest's first-stage page table; undefined where the mock driver has none. */
  get data(): HwptVtdS1 | undefined {
    return this.#data instanceof Uint32Array ? undefined : this.#data;
  }

  /** The entries of the IOTLB that a mock device has; undefined with VT-d. */
  get iotlb(): Uint32Array | undefined {
    return this.#data instanceof Uint32Array ? this.#data : undefined;
  }

  /** The driver's cache_invalidate_user(); what was handled stays handled. */
  invalidate(request: InvalidateRequest): BatchStatus {
    return this.#data instanceof Uint32Array
      ? this.#invalidateSelftest(this.#data, request)
      : this.#invalidateVtd(request);
  }

  /** mock_domain_cache_invalidate_user(): entries of u32 flags, u32 iotlb_id. */
  #invalidateSelftest(iotlb: Uint32Array, request: InvalidateRequest): BatchStatus {
    const { dataType, entryLength, count, entries } = request;
    if (dataType !== SELFTEST.invalidateType || (count > 0 && entryLength !== 8)) throw new Refusal("EINVAL");
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    for (let done = 0; done < count; done++) {
      const [flags, index] = [view.getUint32(done * 8, true), view.getUint32(done * 8 + 4, true)];
      if (flags & ~1) return stoppedAt(done, "EOPNOTSUPP");
      if (index >= IOTLB_ENTRIES) return stoppedAt(done, "EINVAL");
      if (flags & 1) iotlb.fill(0);
      else iotlb[index] = 0;
    }
    return { done: count, status: 0 };
  }

  /** intel_nested_cache_invalidate_user() */
  #invalidateVtd({ dataType, entryLength, count, entries }: InvalidateRequest): BatchStatus {
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
      if (flags & ~IOMMU_VTD_INV_FLAGS_LEAF || reserved !== 0) return stoppedAt(done, "EOPNOTSUPP");
      const everything = pages === (1n << 64n) - 1n;
      if (address & 4095n || (everything && address !== 0n)) return stoppedAt(done, "EINVAL");
    }
    return { done: count, status: 0 };
  }

  /** The domain that has the mappings: the parent's. */
  get paging(): PagingHwptObject {
    return this.parent;
  }

  /** intel_nested_attach_dev(), intel_pasid_setup_nested() */
  checkCompatible(iommu: IommuProfile): void {
    this.parent.checkCompatible(iommu);
    if (this.data === undefined) return;
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
    (this.viommu ?? this.parent).users--;
  }
}

/** Either kind. */
export type HwptObject = PagingHwptObject | NestedHwptObject;

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
