/**
 * I/O address spaces.
 */

import { checkInstance, checkU32, checkU64 } from "../arguments.ts";
import type { HwptAllocRequest, IoasMapRequest, IommufdFile } from "../backend/backend.ts";
import {
  type HwptId,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  type IoasId,
  type IovaRanges,
} from "../backend/uapi.ts";
import { outOfRange } from "../errors.ts";
import { Device } from "./device.ts";
import { DmaMemory } from "./dma-memory.ts";
import { Hwpt } from "./hwpt.ts";
import { PageTable } from "./page-table.ts";
import type { Resource } from "./resource.ts";

/** How memory is mapped. */
export interface MapOptions {
  /** Where; a multiple of the alignment in {@link Ioas.iovaRanges}. Default: the kernel chooses. */
  iova?: bigint | undefined;
  /** Where in the memory to start, in bytes. Default 0. */
  offset?: bigint | undefined;
  /** How much, in bytes. Default: the rest of the memory. */
  length?: bigint | undefined;
  /** Whether devices may read. Default true. */
  readable?: boolean | undefined;
  /** Whether devices may write. Default true. */
  writeable?: boolean | undefined;
}

/** Which kind of HWPT (enum iommufd_hwpt_alloc_flags). */
export interface HwptOptions {
  /** May be the parent of nested HWPTs (IOMMU_HWPT_ALLOC_NEST_PARENT). */
  nestParent?: boolean | undefined;
  /** Can track which pages DMA wrote to (IOMMU_HWPT_ALLOC_DIRTY_TRACKING). */
  dirtyTracking?: boolean | undefined;
  /** Can be used by a device whose PASIDs are attached elsewhere (IOMMU_HWPT_ALLOC_PASID). */
  pasid?: boolean | undefined;
  /** The fault queue that faults go to, by its object id (IOMMU_HWPT_FAULT_ID_VALID). */
  faultId?: number | undefined;
}

interface Mapping {
  readonly last: bigint;
  readonly memory: DmaMemory;
}

/**
 * An I/O address space (IOAS): which memory is mapped at which I/O virtual address. Closing it detaches what is
 * attached, which waits for a running map() or unmap(), and unmaps everything.
 */
export class Ioas extends PageTable {
  override readonly id: IoasId;
  readonly #file: IommufdFile;
  /** By IOVA. They hold the memory, so that it is neither closed nor collected while a device can reach it. */
  readonly #mappings = new Map<bigint, Mapping>();

  /** @internal */
  constructor(file: IommufdFile, parent: Resource) {
    super(parent);
    this.#file = file;
    this.id = file.ioasAlloc();
  }

  /** The ranges that mappings may be placed in; attaching a device narrows them (IOMMU_IOAS_IOVA_RANGES). */
  iovaRanges(): IovaRanges {
    this.assertOpen();
    return this.#file.ioasIovaRanges(this.id);
  }

  /**
   * Maps memory (IOMMU_IOAS_MAP). Runs off the event loop: pinning takes time.
   *
   * @returns the IOVA
   * @throws RangeError ERR_OUT_OF_RANGE: offset or length are not within the memory
   * @throws SystemError EEXIST: something is mapped there; EINVAL: misaligned, outside the IOVA ranges, or
   *   read-only on a nest parent of a host with ERRATA_772415_SPR17; EOVERFLOW: past the end of the address
   *   space; ENOSPC: no hole is long enough; ENOMEM: out of memory or past RLIMIT_MEMLOCK
   */
  async map(memory: DmaMemory, options: MapOptions = {}): Promise<bigint> {
    const request = this.#retain(memory, options);
    try {
      return this.#mapped(memory, request, await this.#file.ioasMap(request));
    } catch (error) {
      memory.unretain();
      throw error;
    }
  }

  /** {@link map}, on this thread. */
  mapSync(memory: DmaMemory, options: MapOptions = {}): bigint {
    const request = this.#retain(memory, options);
    try {
      return this.#mapped(memory, request, this.#file.ioasMapSync(request));
    } catch (error) {
      memory.unretain();
      throw error;
    }
  }

  /**
   * Unmaps what is mapped in a range (IOMMU_IOAS_UNMAP). Mappings are never split.
   *
   * @returns how many bytes were unmapped
   * @throws SystemError ENOENT: nothing is mapped there, or a mapping is only partly within the range
   */
  async unmap(iova: bigint, length: bigint): Promise<bigint> {
    this.#checkRange(iova, length);
    return this.#unmapped(iova, length, await this.#file.ioasUnmap(this.id, iova, length));
  }

  /** {@link unmap}, on this thread. */
  unmapSync(iova: bigint, length: bigint): bigint {
    this.#checkRange(iova, length);
    return this.#unmapped(iova, length, this.#file.ioasUnmapSync(this.id, iova, length));
  }

  /**
   * Allocates a HWPT with the mappings of this address space (IOMMU_HWPT_ALLOC).
   *
   * @param device a device behind the IOMMU that is to walk it
   * @throws SystemError EOPNOTSUPP: the IOMMU cannot do what was asked; EINVAL: a nest parent was asked for
   *   on a host with ERRATA_772415_SPR17, and there are read-only mappings; EADDRINUSE: mappings are outside of
   *   what the IOMMU can translate; ENOENT: there is no such fault queue
   */
  async allocHwpt(device: Device, options: HwptOptions = {}): Promise<Hwpt> {
    return this.#hwpt(await this.#file.hwptAlloc(this.#hwptRequest(device, options)));
  }

  /** {@link allocHwpt}, on this thread. */
  allocHwptSync(device: Device, options: HwptOptions = {}): Hwpt {
    return this.#hwpt(this.#file.hwptAllocSync(this.#hwptRequest(device, options)));
  }

  protected override release(whole: boolean): void {
    if (!whole) {
      this.detachAll();
      this.#file.destroy(this.id);
    }
    this.#forget(0n, (1n << 64n) - 1n);
  }

  /** Checks a request and holds the memory, before the kernel can reach it. */
  #retain(memory: DmaMemory, options: MapOptions): IoasMapRequest {
    this.assertOpen();
    checkInstance(memory, DmaMemory, "memory");
    const offset = checkU64(options.offset ?? 0n, "offset");
    if (offset > memory.length)
      throw outOfRange("offset", `at most ${memory.length}, the length of the memory`, offset);
    const rest = memory.length - offset;
    const length = checkU64(options.length ?? rest, "length");
    if (length > rest) throw outOfRange("length", `at most ${rest}, the rest of the memory`, length);
    const iova = options.iova === undefined ? 0n : checkU64(options.iova, "iova");
    const flags =
      (options.iova === undefined ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA) |
      (options.readable === false ? 0 : IOMMU_IOAS_MAP_READABLE) |
      (options.writeable === false ? 0 : IOMMU_IOAS_MAP_WRITEABLE);
    return { ioasId: this.id, flags, memory: memory.retain(), offset, length, iova };
  }

  #mapped(memory: DmaMemory, { length }: IoasMapRequest, iova: bigint): bigint {
    // Closed while the call ran: the kernel has dropped the mapping along with the address space.
    if (this.closed) memory.unretain();
    else this.#mappings.set(iova, { last: iova + length - 1n, memory });
    return iova;
  }

  #checkRange(iova: bigint, length: bigint): void {
    this.assertOpen();
    checkU64(iova, "iova");
    checkU64(length, "length");
  }

  #unmapped(iova: bigint, length: bigint, bytes: bigint): bigint {
    this.#forget(iova, iova + length - 1n);
    return bytes;
  }

  #forget(start: bigint, last: bigint): void {
    const exact = this.#mappings.get(start);
    if (exact?.last === last) {
      this.#drop(start, exact);
      return;
    }
    for (const [iova, mapping] of this.#mappings) {
      if (iova >= start && mapping.last <= last) this.#drop(iova, mapping);
    }
  }

  #drop(iova: bigint, mapping: Mapping): void {
    this.#mappings.delete(iova);
    mapping.memory.unretain();
  }

  #hwptRequest(device: Device, options: HwptOptions): HwptAllocRequest {
    this.assertOpen();
    const faultId = options.faultId === undefined ? undefined : checkU32(options.faultId, "faultId");
    const flags =
      (options.nestParent ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) |
      (options.dirtyTracking ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
      (options.pasid ? IOMMU_HWPT_ALLOC_PASID : 0) |
      (options.faultId === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID);
    return { deviceId: this.checkPeer(device, Device, "device").id, ptId: this.id, flags, faultId };
  }

  #hwpt(id: HwptId): Hwpt {
    return new Hwpt(this.#file, this, id);
  }
}
