/**
 * Devices that note by themselves what their DMA writes to.
 */

import { type ByteCount, checkByteCount, checkU64 } from "../arguments.ts";
import type { VfioDeviceFile } from "../backend/backend.ts";
import { VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, VFIO_DEVICE_FEATURE_SET } from "../uapi.ts";
import { checkDirtyRange } from "./dirty-range.ts";
import { Resource } from "./resource.ts";

/** A range of IOVAs whose pages are watched. */
export interface DmaLoggingRange {
  /** Where it starts; a multiple of the page size. */
  iova: bigint;
  /** In bytes; a multiple of the page size. */
  length: ByteCount;
}

/**
 * A device that notes which pages its DMA writes to (VFIO_DEVICE_FEATURE_DMA_LOGGING_START), where its IOMMU cannot
 * ({@link Hwpt.setDirtyTracking}). Made by {@link Device.startDmaLogging}. Closing it stops that.
 */
export class DmaLogging extends Resource {
  /** How much the device notes together, in bytes. It may have chosen another size than was asked for. */
  readonly pageSize: bigint;
  readonly #file: VfioDeviceFile;

  /** @internal */
  constructor(file: VfioDeviceFile, parent: Resource, ranges: readonly DmaLoggingRange[], pageSize: bigint) {
    const values = ranges.flatMap(({ iova, length }) => [
      checkU64(iova, "iova"),
      checkByteCount(length, "length"),
    ]);
    const chosen = file.startDmaLogging(pageSize, BigUint64Array.from(values));
    super(parent);
    this.pageSize = chosen;
    this.#file = file;
  }

  /**
   * Which pages DMA has written to since it started, or since they were last asked for
   * (VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT).
   *
   * @param pageSize how much a bit stands for, in bytes: a power of two. Default: what the device uses
   * @returns a bit a page, the lowest bit of the first byte first
   * @throws SystemError of VFIO_DEVICE_FEATURE. Then the log is lost, and all pages count as written
   */
  report(iova: bigint, length: ByteCount, pageSize: ByteCount = this.pageSize): Uint8Array {
    this.assertOpen();
    const range = checkDirtyRange({ iova, length, pageSize });
    return this.#file.reportDmaLogging(iova, range.length, range.pageSize);
  }

  /** Closing the device stops it too. */
  protected override release(whole: boolean): void {
    if (whole) return;
    this.#file.feature(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP | VFIO_DEVICE_FEATURE_SET, new Uint8Array(0));
  }
}
