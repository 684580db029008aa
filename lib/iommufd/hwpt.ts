/**
 * Hardware page tables.
 */

import { checkU32, checkU64 } from "../arguments.ts";
import type { DirtyBitmapRequest, HwptAllocRequest, IommufdFile } from "../backend/backend.ts";
import { type HwptId, type HwptVtdS1, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR } from "../backend/uapi.ts";
import { invalidType } from "../errors.ts";
import { Device } from "./device.ts";
import { PageTable } from "./page-table.ts";
import type { Resource } from "./resource.ts";

/** Which dirty pages are asked for. */
export interface DirtyBitmapOptions {
  /** Where the range starts; a multiple of the page size. */
  iova: bigint;
  /** How long it is, in bytes; a multiple of the page size. */
  length: bigint;
  /** How much a bit stands for, in bytes, a power of two. Default 4096. */
  pageSize?: bigint | undefined;
  /** Whether the pages stay dirty, to be told of again. Default false. */
  keep?: boolean | undefined;
}

/**
 * A hardware page table (HWPT): what an IOMMU walks. Made by {@link Ioas.allocHwpt}, or from a nest parent by
 * {@link Hwpt.allocNested}. Closing it detaches the devices attached to it and destroys it.
 */
export class Hwpt extends PageTable {
  override readonly id: HwptId;
  readonly #file: IommufdFile;

  /** @internal */
  constructor(file: IommufdFile, parent: Resource, id: HwptId) {
    super(parent);
    this.#file = file;
    this.id = id;
  }

  /**
   * Allocates a nested HWPT: a guest's first-stage page table on top of this one, which must be a nest parent.
   *
   * @param device a device behind the IOMMU that is to walk it
   * @param vtdS1 where the guest's page table is (struct iommu_hwpt_vtd_s1)
   * @throws SystemError EINVAL: this is no nest parent; EOPNOTSUPP: the IOMMU cannot nest
   */
  async allocNested(device: Device, vtdS1: HwptVtdS1): Promise<Hwpt> {
    return this.#nested(await this.#file.hwptAlloc(this.#nestedRequest(device, vtdS1)));
  }

  /** {@link allocNested}, on this thread. */
  allocNestedSync(device: Device, vtdS1: HwptVtdS1): Hwpt {
    return this.#nested(this.#file.hwptAllocSync(this.#nestedRequest(device, vtdS1)));
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
   * (IOMMU_HWPT_GET_DIRTY_BITMAP). What is not mapped is not dirty. The IOMMU notes it for each entry of its page
   * table: where memory is contiguous, and {@link Ioas.hugePages} is on, that can be more than a page.
   *
   * @returns a bit a page, the lowest bit of the first byte first
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
    return {
      hwptId: this.id,
      flags: options.keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
      iova: checkU64(options.iova, "iova"),
      length: checkU64(options.length, "length"),
      pageSize: checkU64(options.pageSize ?? 4096n, "pageSize"),
    };
  }

  #nestedRequest(device: Device, vtdS1: HwptVtdS1): HwptAllocRequest {
    this.assertOpen();
    const { id } = this.checkPeer(device, Device, "device");
    if (typeof vtdS1 !== "object" || vtdS1 === null) throw invalidType("vtdS1", "an object", vtdS1);
    checkU64(vtdS1.flags, "vtdS1.flags");
    checkU64(vtdS1.pgtblAddr, "vtdS1.pgtblAddr");
    checkU32(vtdS1.addrWidth, "vtdS1.addrWidth");
    return { deviceId: id, ptId: this.id, flags: 0, vtdS1 };
  }

  #nested(id: HwptId): Hwpt {
    return new Hwpt(this.#file, this, id);
  }
}
