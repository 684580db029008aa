/**
 * Memory of a device that other devices can reach.
 */

import { type ByteCount, checkByteCount } from "../arguments.ts";
import type { VfioDeviceFile } from "../backend/backend.ts";
import type { DescriptorFile } from "../backend/handles.ts";
import { outOfRange } from "../errors.ts";
import { Resource } from "./resource.ts";

/** A part of a region of a device. */
export interface DmaBufRange {
  /** From the start of the region, in bytes; a multiple of the page size. */
  offset: ByteCount;
  /** In bytes; a multiple of the page size. */
  length: ByteCount;
}

/**
 * A part of a BAR as a file (a dma-buf), which {@link Ioas.mapFile} maps for DMA of other devices: peer to peer. Made by
 * {@link Device.exportDmaBuf}. Mappings of it stay when it is closed; they reach nothing while the device is closed,
 * reset, or has its memory space turned off.
 */
export class DmaBuf extends Resource {
  /** In bytes: all its ranges, one after the other. */
  readonly length: bigint;
  readonly #file: DescriptorFile;

  /** @internal */
  constructor(file: VfioDeviceFile, parent: Resource, regionIndex: number, ranges: readonly DmaBufRange[]) {
    if (ranges.length === 0) throw outOfRange("ranges", "at least one", ranges);
    const values = ranges.flatMap(({ offset, length }) => [
      checkByteCount(offset, "offset"),
      checkByteCount(length, "length"),
    ]);
    const exported = file.exportDmaBuf(regionIndex, BigUint64Array.from(values));
    super(parent);
    this.length = ranges.reduce((sum, { length }) => sum + BigInt(length), 0n);
    this.#file = exported;
  }

  /** The descriptor, to hand to another program. It stays this object's to close. */
  get fd(): number {
    this.assertOpen();
    return this.#file.fd();
  }

  /** @internal */
  get backendFile(): DescriptorFile {
    this.assertOpen();
    return this.#file;
  }

  protected override release(): void {
    this.#file.close();
  }
}
