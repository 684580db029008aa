import { type ByteCount, checkOptions, knownOptions } from "../arguments.ts";
import type { IommufdFile } from "../backend/backend.ts";
import type { DirtyBitmapRequest, HwptAllocRequest } from "../backend/requests.ts";
import {
  type HwptId,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
} from "../uapi.ts";
import { Device } from "./device.ts";
import { checkDirtyRange } from "./dirty-range.ts";
import {
  encodeNestedHwpt,
  encodeVtdInvalidations,
  type NestedHwptData,
  type RawInvalidation,
  type VtdInvalidation,
} from "./driver-data.ts";
import { FaultQueue } from "./fault-queue.ts";
import { invalidate } from "./invalidation.ts";
import { PageTable } from "./page-table.ts";
import type { Resource } from "./resource.ts";
import { encodeViommu, Viommu, type ViommuType } from "./viommu.ts";

/** Which kind of HWPT (enum iommufd_hwpt_alloc_flags). */
export interface HwptOptions {
  /** May be the parent of nested HWPTs (IOMMU_HWPT_ALLOC_NEST_PARENT). */
  nestParent?: boolean | undefined;
  /** Can track which pages DMA wrote to (IOMMU_HWPT_ALLOC_DIRTY_TRACKING). */
  dirtyTracking?: boolean | undefined;
  /** Can be used by a device whose PASIDs are attached elsewhere (IOMMU_HWPT_ALLOC_PASID). */
  pasid?: boolean | undefined;
  /** Where its faults go (IOMMU_HWPT_FAULT_ID_VALID). */
  faultQueue?: FaultQueue | undefined;
}

/** @internal */
export const HWPT_OPTIONS = knownOptions<HwptOptions>({
  nestParent: "boolean",
  dirtyTracking: "boolean",
  pasid: "boolean",
  faultQueue: "other",
});

/** The flags of IOMMU_HWPT_ALLOC. */
export function hwptFlags({ nestParent, dirtyTracking, pasid, faultQueue }: HwptOptions): number {
  return (
    (nestParent ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) |
    (dirtyTracking ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
    (pasid ? IOMMU_HWPT_ALLOC_PASID : 0) |
    (faultQueue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID)
  );
}

/** How a nested HWPT is used. */
export interface NestedHwptOptions {
  /** The vIOMMU that the guest's IOMMU is part of; made from the same nest parent. */
  viommu?: Viommu | undefined;
  /** Where its faults go (IOMMU_HWPT_FAULT_ID_VALID). */
  faultQueue?: FaultQueue | undefined;
  /** Can be attached to a PASID, or to a device that has one attached (IOMMU_HWPT_ALLOC_PASID). */
  pasid?: boolean | undefined;
}

const NESTED_HWPT_OPTIONS = knownOptions<NestedHwptOptions>({
  viommu: "other",
  faultQueue: "other",
  pasid: "boolean",
});

/** Which dirty pages are asked for. */
export interface DirtyBitmapOptions {
  /** Where the range starts; a multiple of the page size. */
  iova: bigint;
  /** How long it is, in bytes; a multiple of the page size. */
  length: ByteCount;
  /** How much a bit stands for, in bytes, a power of two. Default 4096. */
  pageSize?: ByteCount | undefined;
  /** Whether the pages stay dirty, to be told of again. Default false. */
  keep?: boolean | undefined;
}

const DIRTY_BITMAP_OPTIONS = knownOptions<DirtyBitmapOptions>({
  iova: "other",
  length: "other",
  pageSize: "other",
  keep: "boolean",
});

/**
 * A hardware page table (HWPT): what an IOMMU walks. Made by {@link Ioas.allocHwpt}, or from a nest parent by
 * {@link Hwpt.allocNested}. Closing it detaches the devices attached to it and destroys it.
 */
export class Hwpt extends PageTable<Device> {
  override readonly id: HwptId;
  readonly #file: IommufdFile;

  /** @internal */
  constructor(file: IommufdFile, id: HwptId, ...parents: (Resource | undefined)[]) {
    super(...parents.filter((parent) => parent !== undefined));
    this.#file = file;
    this.id = id;
  }

  /**
   * Allocates a nested HWPT: a guest's first-stage page table on top of this one, which must be a nest parent.
   *
   * @param device a device behind the IOMMU that is to walk it
   * @param data where the guest's page table is, as the IOMMU wants to know it
   * @throws SystemError EINVAL: this is not a nest parent; EOPNOTSUPP: the IOMMU cannot nest, or takes other data; EIO:
   * an
   *   SMMU does not take that STE
   */
  async allocNested(device: Device, data: NestedHwptData, options: NestedHwptOptions = {}): Promise<Hwpt> {
    return this.#nested(await this.#file.hwptAlloc(this.#nestedRequest(device, data, options)), options);
  }

  /** {@link allocNested}, on this thread. */
  allocNestedSync(device: Device, data: NestedHwptData, options: NestedHwptOptions = {}): Hwpt {
    return this.#nested(this.#file.hwptAllocSync(this.#nestedRequest(device, data, options)), options);
  }

  /**
   * Invalidates cached entries after a guest has changed its page table (IOMMU_HWPT_INVALIDATE); this is a nested HWPT.
   *
   * @param entries ranges of VT-d, or entries of another driver
   * @returns how many were handled: all
   * @throws SystemError EINVAL: this is not a nested HWPT, or an entry is misaligned; EOPNOTSUPP: an unknown flag. Its
   *   `request.index` is how many were handled before
   */
  invalidate(entries: readonly VtdInvalidation[] | RawInvalidation): number {
    this.assertOpen();
    const raw = "bytes" in entries ? entries : encodeVtdInvalidations(entries);
    return invalidate(this.#file, this.id, raw);
  }

  /**
   * Allocates a virtual IOMMU on top of this nest parent (IOMMU_VIOMMU_ALLOC, later than Linux 6.12).
   *
   * @param device a device behind the IOMMU whose hardware it is part of
   * @throws SystemError EOPNOTSUPP: that IOMMU has none of that type; EINVAL: this is not a nest parent
   */
  allocViommu(device: Device, type: ViommuType): Viommu {
    this.assertOpen();
    const { id: deviceId } = this.checkPeer(device, Device, "device");
    return new Viommu(this.#file, this, { deviceId, hwptId: this.id, ...encodeViommu(type) });
  }

  /**
   * Starts or stops noting which pages DMA writes to (IOMMU_HWPT_SET_DIRTY_TRACKING). Starting forgets what was noted.
   *
   * @throws SystemError EOPNOTSUPP: it was not allocated with `dirtyTracking`
   */
  setDirtyTracking(enabled: boolean): void {
    this.assertOpen();
    this.#file.hwptSetDirtyTracking(this.id, enabled);
  }

  /**
   * Which pages DMA has written to since tracking started, or since they were last asked for
   * (IOMMU_HWPT_GET_DIRTY_BITMAP). Pages that are not mapped are not dirty. The IOMMU notes it for each entry of its
   * page
   * table: where memory is contiguous, and {@link Ioas.hugePages} is on, that can be more than a page.
   *
   * @returns a bit a page, the lowest bit of the first byte first
   * @throws RangeError ERR_OUT_OF_RANGE: the page size is not a power of two, or the length 0
   * @throws SystemError EINVAL: the range is not of whole pages; EOPNOTSUPP: it was not allocated with `dirtyTracking`
   */
  async readDirtyBitmap(options: DirtyBitmapOptions): Promise<Uint8Array> {
    return this.#file.hwptGetDirtyBitmap(this.#bitmapRequest(options));
  }

  /** {@link readDirtyBitmap}, on this thread. */
  readDirtyBitmapSync(options: DirtyBitmapOptions): Uint8Array {
    return this.#file.hwptGetDirtyBitmapSync(this.#bitmapRequest(options));
  }

  protected override release(whole: boolean): void {
    if (whole) return;
    this.detachAll();
    this.#file.destroy(this.id);
  }

  #bitmapRequest(options: DirtyBitmapOptions): DirtyBitmapRequest {
    this.assertOpen();
    const { iova, length, pageSize = 4096n, keep } = checkOptions(options, DIRTY_BITMAP_OPTIONS);
    const range = checkDirtyRange({ iova, length, pageSize });
    const flags = keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0;
    return { hwptId: this.id, flags, ...range };
  }

  #nestedRequest(device: Device, data: NestedHwptData, options: NestedHwptOptions): HwptAllocRequest {
    this.assertOpen();
    const { viommu, faultQueue } = checkOptions(options, NESTED_HWPT_OPTIONS);
    if (viommu !== undefined) this.checkPeer(viommu, Viommu, "viommu");
    if (faultQueue !== undefined) this.checkPeer(faultQueue, FaultQueue, "faultQueue");
    return {
      deviceId: this.checkPeer(device, Device, "device").id,
      ptId: viommu?.id ?? this.id,
      flags: hwptFlags({ pasid: options.pasid, faultQueue }),
      faultId: faultQueue?.id,
      data: encodeNestedHwpt(data),
    };
  }

  #nested(id: HwptId, { viommu, faultQueue }: NestedHwptOptions): Hwpt {
    return new Hwpt(this.#file, id, this, viommu, faultQueue);
  }
}
