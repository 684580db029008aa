/**
 * The calls that map and unmap in an address space, each with the memory held that the kernel may have mapped.
 */

import type { IommufdFile } from "../backend/backend.ts";
import type {
  BatchOutcome,
  IoasCopyRequest,
  IoasMapManyRequest,
  IoasMapRequest,
} from "../backend/requests.ts";
import { isSystemError } from "../errors.ts";
import { IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, type IoasId } from "../uapi.ts";
import type { DmaMemory } from "./dma-memory.ts";
import type { Access, MappingCalls } from "./mapping-calls.ts";
import { Mappings } from "./mappings.ts";

const U64_MAX = (1n << 64n) - 1n;

/** The place in a request to map. */
type Placed = Pick<IoasMapRequest, "flags" | "iova" | "length">;

/**
 * The memory that an address space holds. Memory is retained before the kernel is asked to map it; the answer decides
 * what becomes of it, entered in the order in which calls were made ({@link MappingCalls}).
 */
export class HeldMemory {
  readonly #calls: MappingCalls;
  readonly #mappings: Mappings;

  constructor(calls: MappingCalls, file: IommufdFile, id: IoasId) {
    this.#calls = calls;
    this.#mappings = new Mappings(calls, (iova, length) => isMapped(file, id, iova, length));
  }

  /** Maps; nothing of ours where the memory is that of a descriptor. */
  map(memory: DmaMemory | undefined, request: Placed, map: () => Promise<bigint>): Promise<bigint> {
    memory?.retain();
    return this.#calls.run(
      () => [this.#mapAccess(request)],
      map,
      (iova) => this.#mappings.add(iova, request.length, memory),
      () => memory?.unretain(),
    );
  }

  /** {@link map}, on this thread; without closures as a rule, because it is on the path of every mapping. */
  mapSync<Request extends Placed>(
    memory: DmaMemory | undefined,
    request: Request,
    map: (request: Request) => bigint,
  ): bigint {
    memory?.retain();
    let iova: bigint;
    try {
      iova = map(request);
    } catch (error) {
      memory?.unretain();
      throw error;
    }
    if (this.#calls.none) this.#mappings.add(iova, request.length, memory);
    else this.#enterMapping(memory, request, iova);
    return iova;
  }

  /** Maps many ranges. */
  mapMany(
    memory: DmaMemory,
    request: IoasMapManyRequest,
    map: () => Promise<BatchOutcome>,
  ): Promise<BatchOutcome> {
    memory.retain(request.iovas.length);
    return this.#calls.run(
      () => [this.#mapManyAccess(request)],
      map,
      (outcome) => this.#mappedMany(memory, request, outcome),
      () => memory.unretain(request.iovas.length),
    );
  }

  /** {@link mapMany}, on this thread. */
  mapManySync(memory: DmaMemory, request: IoasMapManyRequest, map: () => BatchOutcome): BatchOutcome {
    memory.retain(request.iovas.length);
    return this.#calls.runSync(
      () => [this.#mapManyAccess(request)],
      map,
      (outcome) => this.#mappedMany(memory, request, outcome),
      () => memory.unretain(request.iovas.length),
    );
  }

  /** Copies; this needs no hold of its own while it runs, because nothing unmaps the source meanwhile. */
  copy(source: HeldMemory, request: IoasCopyRequest, copy: () => Promise<bigint>): Promise<bigint> {
    return this.#calls.run(
      () => this.#copyAccesses(source, request),
      copy,
      (iova) => this.#copied(source, request, iova),
    );
  }

  /** {@link copy}, on this thread. */
  copySync(source: HeldMemory, request: IoasCopyRequest, copy: () => bigint): bigint {
    return this.#calls.runSync(
      () => this.#copyAccesses(source, request),
      copy,
      (iova) => this.#copied(source, request, iova),
    );
  }

  /** Unmaps. */
  unmap(iova: bigint, length: bigint, unmap: () => Promise<bigint>): Promise<bigint> {
    return this.#calls.run(
      () => [this.#mappings.unmapAccess(iova, length)],
      unmap,
      () => this.#mappings.forget(iova, length),
      () => this.#mappings.doubt(iova, length),
    );
  }

  /** {@link unmap}, on this thread. */
  unmapSync(iova: bigint, length: bigint, unmap: (iova: bigint, length: bigint) => bigint): bigint {
    let bytes: bigint;
    try {
      bytes = unmap(iova, length);
    } catch (error) {
      this.#enterRefusal(iova, length);
      throw error;
    }
    if (this.#calls.none) this.#mappings.forget(iova, length);
    else this.#enterUnmapping(iova, length);
    return bytes;
  }

  /** Unmaps many ranges. */
  unmapMany(
    iovas: BigUint64Array,
    lengths: BigUint64Array,
    unmap: () => Promise<BatchOutcome>,
  ): Promise<BatchOutcome> {
    return this.#calls.run(
      () => [this.#mappings.batchAccess("unmaps", iovas, lengths)],
      unmap,
      (outcome) => this.#unmappedMany(iovas, lengths, outcome),
    );
  }

  /** {@link unmapMany}, on this thread. */
  unmapManySync(iovas: BigUint64Array, lengths: BigUint64Array, unmap: () => BatchOutcome): BatchOutcome {
    return this.#calls.runSync(
      () => [this.#mappings.batchAccess("unmaps", iovas, lengths)],
      unmap,
      (outcome) => this.#unmappedMany(iovas, lengths, outcome),
    );
  }

  /**
   * Lets go of all, for the address space has been closed.
   *
   * @param whole the whole iommufd is, of which the kernel lets go with the last of all its calls
   */
  release(whole: boolean): void {
    const accesses = () => [this.#mappings.unmapAccess(0n, U64_MAX)];
    this.#calls.enter(whole ? "everything" : accesses, () => this.#mappings.clear());
  }

  #enterMapping(memory: DmaMemory | undefined, request: Placed, iova: bigint): void {
    this.#calls.enter(
      () => [this.#mapAccess(request)],
      () => this.#mappings.add(iova, request.length, memory),
    );
  }

  #enterUnmapping(iova: bigint, length: bigint): void {
    this.#calls.enter(
      () => [this.#mappings.unmapAccess(iova, length)],
      () => this.#mappings.forget(iova, length),
    );
  }

  #enterRefusal(iova: bigint, length: bigint): void {
    this.#calls.enter(
      () => [this.#mappings.unmapAccess(iova, length)],
      () => this.#mappings.doubt(iova, length),
    );
  }

  #mapAccess({ flags, iova, length }: Placed): Access {
    return this.#mappings.access("maps", flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined, length);
  }

  /** One that may roll back may unmap. */
  #mapManyAccess({ rollBack, iovas, lengths }: IoasMapManyRequest): Access {
    return this.#mappings.batchAccess(rollBack ? "unmaps" : "maps", iovas, lengths);
  }

  #mappedMany(
    memory: DmaMemory,
    { iovas, lengths, rollBack }: IoasMapManyRequest,
    { done, error }: BatchOutcome,
  ): void {
    this.#mappings.addBatch(iovas.subarray(0, done), lengths.subarray(0, done), memory);
    memory.unretain(iovas.length - done);
    // Unmapped again, unless that was refused.
    if (error !== undefined && rollBack) this.#mappings.doubtAll(iovas.subarray(0, done));
  }

  #unmappedMany(iovas: BigUint64Array, lengths: BigUint64Array, { done, error }: BatchOutcome): void {
    this.#mappings.forgetBatch(iovas.subarray(0, done), lengths.subarray(0, done));
    if (error !== undefined) this.#mappings.doubt(iovas[done] as bigint, lengths[done] as bigint);
  }

  #copyAccesses(source: HeldMemory, request: IoasCopyRequest): Access[] {
    const { destinationIova: iova, sourceIova, length, flags } = request;
    return [this.#mapAccess({ flags, iova, length }), source.#mappings.access("reads", sourceIova, length)];
  }

  /** The kernel makes an area of each part. */
  #copied(source: HeldMemory, { sourceIova, length }: IoasCopyRequest, iova: bigint): void {
    for (const part of source.#mappings.parts(sourceIova, length)) {
      part.memory?.retain();
      this.#mappings.add(iova + (part.start - sourceIova), part.last - part.start + 1n, part.memory);
    }
  }
}

/**
 * Whether all of a range is mapped. Copying it onto itself is refused either way: with ENOENT if there is a gap, and else
 * because something is mapped there.
 */
function isMapped(file: IommufdFile, id: IoasId, iova: bigint, length: bigint): boolean {
  const place = { destinationId: id, sourceId: id, destinationIova: iova, sourceIova: iova, length };
  try {
    file.ioasCopySync({ ...place, flags: IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE });
  } catch (error) {
    return !isSystemError(error, "ENOENT");
  }
  // Somebody else who has this iommufd too unmapped it between the two looks of the kernel: so it was copied.
  file.ioasUnmapSync(id, iova, length);
  return false;
}
