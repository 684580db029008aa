/**
 * The page tables that devices are attached to, and the address spaces and IOMMUs behind them
 * (drivers/iommu/iommufd/hw_pagetable.c, drivers/iommu/intel/).
 */

import { IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, type IovaRange } from "../../uapi.ts";
import type { BatchStatus } from "../raw.ts";
import type { DirtyBitmapRequest, InvalidateRequest } from "../requests.ts";
import type { Domain } from "./area.ts";
import { DirtyPages } from "./dirty-pages.ts";
import { IoPagetable } from "./io-pagetable.ts";
import type { HwptFlags, Iommu } from "./iommus/iommu.ts";
import type { Stage1 } from "./iommus/stage-1.ts";
import type { LockedMemory } from "./locked-memory.ts";
import { KernelObject } from "./object-table.ts";
import type { DeviceProfile, DomainProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";

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
export interface PagingHwptOptions extends HwptFlags {
  /** Made by attaching a device to an IOAS, and destroyed with its last attachment. */
  readonly automatic: boolean;
}

/** A device, and the IOMMU that translates for it. */
export interface DeviceBehindIommu {
  readonly profile: DeviceProfile;
  readonly iommu: Iommu;
}

/** The common part of both kinds of HWPT. */
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
  readonly iommu: Iommu;
  readonly options: PagingHwptOptions;
  readonly profile: DomainProfile;
  readonly forceWritable: boolean;
  readonly #dirty = new DirtyPages();
  #tracking = false;

  /** iommufd_hwpt_paging_alloc(): EOPNOTSUPP, or whatever adding the domain to the address space answers. */
  constructor(ioas: IoasObject, iommu: Iommu, options: PagingHwptOptions) {
    super();
    this.ioas = ioas;
    this.iommu = iommu;
    this.options = options;
    this.profile = iommu.pagingDomain(options);
    this.forceWritable = options.nestParent && iommu.reportsErratum;
    ioas.iopt.addDomain(this);
    ioas.users++;
    ioas.hwpts.push(this);
  }

  /** The domain that has the mappings: itself. */
  get paging(): PagingHwptObject {
    return this;
  }

  /** The driver's attach_dev() */
  checkAttach(device: DeviceBehindIommu): void {
    device.iommu.checkDomain(this);
    if (this.faultQueue !== undefined) device.iommu.checkFaultQueue(device.profile);
  }

  /** Whether the hardware has ERRATA_772415_SPR17, whatever the kernel knows of it. */
  get hasErratum(): boolean {
    return this.iommu.profile.erratum772415 ?? this.iommu.reportsErratum;
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

/** A vIOMMU as what is made on it knows it. */
export interface NestingViommu extends KernelObject {
  /** The guest's id of a device; undefined if it has no vDEVICE here. */
  virtualIdOf(device: DeviceBehindIommu): bigint | undefined;
  /** iommufd_viommu_report_event() */
  report(type: number, data: Uint8Array): void;
}

/** The base of a nested HWPT: a nest parent, or a vIOMMU on top of one. */
export interface NestParent {
  readonly hwpt: PagingHwptObject;
  readonly viommu?: NestingViommu | undefined;
}

/** IOMMUFD_OBJ_HWPT_NESTED */
export class NestedHwptObject extends AnyHwptObject {
  readonly parent: PagingHwptObject;
  /** Its base, if this is a vIOMMU. */
  readonly viommu: NestingViommu | undefined;
  /** The guest's part of it. */
  readonly stage1: Stage1;
  readonly options: Pick<PagingHwptOptions, "pasid">;

  constructor({ hwpt, viommu }: NestParent, stage1: Stage1, options: Pick<PagingHwptOptions, "pasid">) {
    super();
    this.parent = hwpt;
    this.viommu = viommu;
    this.stage1 = stage1;
    this.options = options;
    (viommu ?? hwpt).users++;
  }

  /** The driver's cache_invalidate_user(); handled commands stay handled. */
  invalidate(request: InvalidateRequest): BatchStatus {
    if (this.stage1.invalidate === undefined) throw new Refusal("EOPNOTSUPP");
    return this.stage1.invalidate(request);
  }

  /** The domain that has the mappings: the parent's. */
  get paging(): PagingHwptObject {
    return this.parent;
  }

  /** The driver's attach_dev() */
  checkAttach(device: DeviceBehindIommu): void {
    this.parent.checkAttach(device);
    this.stage1.checkAttach({
      hwInfo: device.iommu.profile.hwInfo,
      virtualId: this.viommu?.virtualIdOf(device),
    });
    if (this.faultQueue !== undefined) device.iommu.checkFaultQueue(device.profile);
  }

  override destroy(): void {
    super.destroy();
    (this.viommu ?? this.parent).users--;
  }
}

/** Either kind. */
export type HwptObject = PagingHwptObject | NestedHwptObject;
