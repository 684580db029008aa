import {
  type ByteCount,
  checkByteCount,
  checkInstance,
  checkOptions,
  checkU32,
  checkU64,
} from "../arguments.ts";
import type { IommufdFile } from "../backend/backend.ts";
import type {
  HwptAllocRequest,
  IoasCopyRequest,
  IoasMapFileRequest,
  IoasMapManyRequest,
  IoasMapRequest,
} from "../backend/requests.ts";
import { invalidType } from "../errors.ts";
import {
  type HwptId,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  type IoasId,
  type IovaRange,
  type IovaRanges,
} from "../uapi.ts";
import { Device } from "./device.ts";
import { DmaBuf } from "./dma-buf.ts";
import { DmaMemory } from "./dma-memory.ts";
import { FaultQueue } from "./fault-queue.ts";
import { HeldMemory } from "./held-memory.ts";
import { HWPT_OPTIONS, Hwpt, type HwptOptions, hwptFlags } from "./hwpt.ts";
import {
  COPY_OPTIONS,
  type CopyOptions,
  checkPart,
  copyRanges,
  MAP_FILE_OPTIONS,
  MAP_MANY_OPTIONS,
  MAP_OPTIONS,
  type MapFileOptions,
  type MapManyOptions,
  type MapManyRanges,
  type MapOptions,
  memoryOf,
  placement,
} from "./map-options.ts";
import type { MappingCalls } from "./mapping-calls.ts";
import { NestParents } from "./nest-parents.ts";
import { PageTable } from "./page-table.ts";
import type { Resource } from "./resource.ts";

/**
 * An I/O address space (IOAS): which memory is mapped at which I/O virtual address. Closing it detaches what is
 * attached, which waits for a running map() or unmap(), and unmaps everything.
 */
export class Ioas extends PageTable<Device> {
  override readonly id: IoasId;
  readonly #file: IommufdFile;
  readonly #calls: MappingCalls;
  readonly #held: HeldMemory;
  readonly #nestParents = new NestParents(() => this.iovaRanges());
  // Made once: these calls are on the path of every mapping.
  readonly #mapNow = (request: IoasMapRequest) => this.#file.ioasMapSync(request);
  readonly #unmapNow = (iova: bigint, length: bigint) => this.#file.ioasUnmapSync(this.id, iova, length);

  /** @internal */
  constructor(file: IommufdFile, calls: MappingCalls, parent: Resource) {
    const id = file.ioasAlloc();
    super(parent);
    this.#file = file;
    this.#calls = calls;
    this.id = id;
    this.#held = new HeldMemory(calls, file, id);
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
   * @throws SystemError EEXIST: something is mapped there. EINVAL: misaligned, outside the IOVA ranges, or read-only on
   * a nest parent of a host with ERRATA_772415_SPR17. EOVERFLOW: past the end of the address space. ENOSPC: no hole is
   * long enough. ENOMEM: out of memory or past RLIMIT_MEMLOCK
   */
  async map(memory: DmaMemory, options: MapOptions = {}): Promise<bigint> {
    const request = this.#mapRequest(memory, options);
    return this.#nestParents.map(request, () =>
      this.#held.map(memory, request, () => this.#file.ioasMap(request)),
    );
  }

  /** {@link map}, on this thread. */
  mapSync(memory: DmaMemory, options: MapOptions = {}): bigint {
    return this.#mapHeld(memory, this.#mapRequest(memory, options), this.#mapNow);
  }

  /**
   * Makes thousands of mappings of one memory in one call. It stops at the first that the kernel refuses.
   *
   * @throws SystemError as {@link map}; its `request.index` is the one that was refused
   * @throws RangeError ERR_OUT_OF_RANGE: the arrays differ in length, or a range is not within the memory
   */
  async mapMany(memory: DmaMemory, ranges: MapManyRanges, options: MapManyOptions = {}): Promise<void> {
    const request = this.#mapManyRequest(memory, ranges, options);
    const outcome = await this.#held.mapMany(memory, request, () => this.#file.ioasMapMany(request));
    this.#nestParents.mappedMany(request, outcome);
  }

  /** {@link mapMany}, on this thread. */
  mapManySync(memory: DmaMemory, ranges: MapManyRanges, options: MapManyOptions = {}): void {
    const request = this.#mapManyRequest(memory, ranges, options);
    const outcome = this.#held.mapManySync(memory, request, () => this.#file.ioasMapManySync(request));
    this.#nestParents.mappedMany(request, outcome);
  }

  /**
   * Unmaps thousands of ranges in one call. It stops at the first that the kernel refuses; those before it are
   * unmapped.
   *
   * @throws SystemError as {@link unmap}; its `request.index` is the one that was refused
   */
  async unmapMany(ranges: Pick<MapManyRanges, "iovas" | "lengths">): Promise<void> {
    const { iovas, lengths } = this.#unmapManyRanges(ranges);
    const unmap = () => this.#file.ioasUnmapMany(this.id, iovas, lengths);
    const { error } = await this.#held.unmapMany(iovas, lengths, unmap);
    if (error !== undefined) throw error;
  }

  /** {@link unmapMany}, on this thread. */
  unmapManySync(ranges: Pick<MapManyRanges, "iovas" | "lengths">): void {
    const { iovas, lengths } = this.#unmapManyRanges(ranges);
    const unmap = () => this.#file.ioasUnmapManySync(this.id, iovas, lengths);
    const { error } = this.#held.unmapManySync(iovas, lengths, unmap);
    if (error !== undefined) throw error;
  }

  /**
   * Maps a file (IOMMU_IOAS_MAP_FILE, later than Linux 6.12): memory that several programs share, a dma-buf of VFIO. The kernel
   * holds the file itself, so the mapping survives exec and can change hands ({@link Iommufd.changeProcess}).
   *
   * @param file memory or a dma-buf, of which `length` defaults to the rest, or a descriptor, of which it must be given
   * @returns the IOVA
   * @throws SystemError as {@link map}; ENOTTY: the kernel is too old; EBADF: the descriptor is none, EINVAL: it
   *   cannot be mapped
   */
  async mapFile(file: DmaMemory | DmaBuf | number, options: MapFileOptions = {}): Promise<bigint> {
    const request = this.#mapFileRequest(file, options);
    return this.#nestParents.map(request, () =>
      this.#held.map(memoryOf(file), request, () => this.#file.ioasMapFile(request)),
    );
  }

  /** {@link mapFile}, on this thread. */
  mapFileSync(file: DmaMemory | DmaBuf | number, options: MapFileOptions = {}): bigint {
    const request = this.#mapFileRequest(file, options);
    return this.#mapHeld(memoryOf(file), request, (request) => this.#file.ioasMapFileSync(request));
  }

  /**
   * Maps what another address space of the same iommufd has mapped, without pinning it again (IOMMU_IOAS_COPY).
   *
   * @returns the IOVA
   * @throws SystemError ENOENT: there is a gap in the range; EPERM: write permission is asked for and was not given
   *   when the memory was mapped; else as {@link map}
   */
  async copyFrom(source: Ioas, options: CopyOptions): Promise<bigint> {
    const request = this.#copyRequest(source, options);
    return this.#nestParents.map(request, () =>
      this.#held.copy(source.#held, request, () => this.#file.ioasCopy(request)),
    );
  }

  /** {@link copyFrom}, on this thread. */
  copyFromSync(source: Ioas, options: CopyOptions): bigint {
    const request = this.#copyRequest(source, options);
    try {
      const iova = this.#held.copySync(source.#held, request, () => this.#file.ioasCopySync(request));
      this.#nestParents.mapped(request);
      return iova;
    } catch (error) {
      throw this.#nestParents.explainMap(error);
    }
  }

  /**
   * Names ranges that must stay available, whatever is attached; the kernel places mappings in them only
   * (IOMMU_IOAS_ALLOW_IOVAS). It replaces those of before; none allows everything.
   *
   * @throws SystemError EADDRINUSE: a range is not available now; EINVAL: ranges overlap, or have not two addresses
   */
  allowIovas(ranges: readonly IovaRange[]): void {
    this.assertOpen();
    for (const { start, last } of ranges) {
      checkU64(start, "start");
      checkU64(last, "last");
    }
    this.#file.ioasAllowIovas(this.id, ranges);
  }

  /** Whether pages may be combined into huge ones (IOMMU_OPTION_HUGE_PAGES). Default true. */
  get hugePages(): boolean {
    return this.#hugePages(IOMMU_OPTION_OP_GET, 0n);
  }

  /** Throws EINVAL, a SystemError, where a domain has mappings already; EADDRINUSE where one is not of whole pages. */
  set hugePages(enabled: boolean) {
    this.#hugePages(IOMMU_OPTION_OP_SET, enabled ? 1n : 0n);
  }

  /**
   * Unmaps what is mapped in a range (IOMMU_IOAS_UNMAP). Mappings are never split.
   *
   * @returns how many bytes were unmapped
   * @throws SystemError ENOENT: nothing is mapped there, or a mapping is only partly within the range
   */
  async unmap(iova: bigint, length: ByteCount): Promise<bigint> {
    const bytes = this.#checkRange(iova, length);
    return this.#held.unmap(iova, bytes, () => this.#file.ioasUnmap(this.id, iova, bytes));
  }

  /** {@link unmap}, on this thread. */
  unmapSync(iova: bigint, length: ByteCount): bigint {
    return this.#held.unmapSync(iova, this.#checkRange(iova, length), this.#unmapNow);
  }

  /**
   * Allocates a HWPT with the mappings of this address space (IOMMU_HWPT_ALLOC).
   *
   * @param device a device behind the IOMMU that is to walk it
   * @throws SystemError EOPNOTSUPP: the IOMMU cannot do this. EINVAL: a nest parent on a host with ERRATA_772415_SPR17,
   * and there are read-only mappings. EADDRINUSE: mappings are outside the range that the IOMMU can translate. ENOENT:
   * there is no such fault queue
   */
  async allocHwpt(device: Device, options: HwptOptions = {}): Promise<Hwpt> {
    const request = this.#hwptRequest(device, options);
    try {
      // The call maps nothing, but keeps the iommufd and all its mappings until it is done.
      const accesses = () => [];
      const id = await this.#calls.run(accesses, () => this.#file.hwptAlloc(request));
      return this.#hwpt(id, device, options);
    } catch (error) {
      throw this.#nestParents.explainAlloc(error, device);
    }
  }

  /** {@link allocHwpt}, on this thread. */
  allocHwptSync(device: Device, options: HwptOptions = {}): Hwpt {
    const request = this.#hwptRequest(device, options);
    try {
      return this.#hwpt(this.#file.hwptAllocSync(request), device, options);
    } catch (error) {
      throw this.#nestParents.explainAlloc(error, device);
    }
  }

  protected override release(whole: boolean): void {
    if (!whole) {
      this.detachAll();
      this.#file.destroy(this.id);
    }
    this.#held.release(whole);
  }

  #mapHeld<Request extends IoasMapRequest | IoasMapFileRequest>(
    memory: DmaMemory | undefined,
    request: Request,
    map: (request: Request) => bigint,
  ): bigint {
    let iova: bigint;
    try {
      iova = this.#held.mapSync(memory, request, map);
    } catch (error) {
      throw this.#nestParents.explainMap(error);
    }
    this.#nestParents.mapped(request);
    return iova;
  }

  #mapRequest(memory: DmaMemory, options: MapOptions): IoasMapRequest {
    this.assertOpen();
    checkOptions(options, MAP_OPTIONS);
    checkInstance(memory, DmaMemory, "memory");
    const offset = options.offset === undefined ? 0n : checkByteCount(options.offset, "offset");
    const length = checkPart(memory, offset, "offset", options.length);
    const { flags, iova } = placement(options);
    return { ioasId: this.id, flags, memory: memory.backendMemory, offset, length, iova };
  }

  #mapManyRequest(memory: DmaMemory, ranges: MapManyRanges, options: MapManyOptions): IoasMapManyRequest {
    this.assertOpen();
    checkOptions(options, MAP_MANY_OPTIONS);
    checkInstance(memory, DmaMemory, "memory");
    const { iovas, offsets, lengths } = copyRanges(ranges, ["iovas", "offsets", "lengths"]);
    const { flags } = placement(options);
    return {
      ioasId: this.id,
      flags: flags | IOMMU_IOAS_MAP_FIXED_IOVA,
      memory: memory.backendMemory,
      iovas,
      offsets,
      lengths,
      rollBack: options.rollBack ?? true,
    };
  }

  #unmapManyRanges(
    ranges: Pick<MapManyRanges, "iovas" | "lengths">,
  ): Pick<MapManyRanges, "iovas" | "lengths"> {
    this.assertOpen();
    return copyRanges(ranges, ["iovas", "lengths"]);
  }

  #mapFileRequest(file: DmaMemory | DmaBuf | number, options: MapFileOptions): IoasMapFileRequest {
    this.assertOpen();
    checkOptions(options, MAP_FILE_OPTIONS);
    const start = checkByteCount(options.start ?? 0n, "start");
    if (typeof file === "number") {
      checkU32(file, "file");
      if (options.length === undefined) throw invalidType("length", "given for a descriptor", options.length);
      return {
        ioasId: this.id,
        file,
        start,
        length: checkByteCount(options.length, "length"),
        ...placement(options),
      };
    }
    const length = checkPart(
      file instanceof DmaBuf ? file : checkInstance(file, DmaMemory, "file"),
      start,
      "start",
      options.length,
    );
    const backendFile = file instanceof DmaBuf ? file.backendFile : file.backendMemory;
    return { ioasId: this.id, file: backendFile, start, length, ...placement(options) };
  }

  #copyRequest(source: Ioas, options: CopyOptions): IoasCopyRequest {
    this.assertOpen();
    checkOptions(options, COPY_OPTIONS);
    const { id: sourceId } = this.checkPeer(source, Ioas, "source");
    const sourceIova = checkU64(options.sourceIova, "sourceIova");
    const length = checkByteCount(options.length, "length");
    const { flags, iova } = placement(options);
    return { destinationId: this.id, sourceId, flags, length, destinationIova: iova, sourceIova };
  }

  #hugePages(op: number, value: bigint): boolean {
    this.assertOpen();
    return this.#file.option({ optionId: IOMMU_OPTION_HUGE_PAGES, op, objectId: this.id, value }) === 1n;
  }

  #checkRange(iova: bigint, length: ByteCount): bigint {
    this.assertOpen();
    checkU64(iova, "iova");
    return checkByteCount(length, "length");
  }

  #hwptRequest(device: Device, options: HwptOptions): HwptAllocRequest {
    this.assertOpen();
    const { faultQueue } = checkOptions(options, HWPT_OPTIONS);
    if (faultQueue !== undefined) this.checkPeer(faultQueue, FaultQueue, "faultQueue");
    const deviceId = this.checkPeer(device, Device, "device").id;
    return { deviceId, ptId: this.id, flags: hwptFlags(options), faultId: faultQueue?.id };
  }

  #hwpt(id: HwptId, device: Device, { faultQueue, nestParent }: HwptOptions): Hwpt {
    const hwpt = new Hwpt(this.#file, id, this, faultQueue);
    if (nestParent) this.#nestParents.add(hwpt, device);
    return hwpt;
  }
}
