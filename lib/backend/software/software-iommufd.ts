/**
 * An iommufd as the model keeps it, one method per ioctl (drivers/iommu/iommufd/).
 */

import { IommufdError, invalidType, isSystemError, systemError } from "../../errors.ts";
import type {
  BatchOutcome,
  DirtyBitmapRequest,
  HwptAllocRequest,
  IoasCopyRequest,
  IoasMapFileRequest,
  IoasMapManyRequest,
  IoasMapRequest,
  IommufdFile,
  OptionRequest,
} from "../backend.ts";
import {
  type DeviceId,
  type HwInfo,
  type HwptId,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  type IoasId,
  type IovaRange,
  type IovaRanges,
  type ObjectId,
} from "../uapi.ts";
import { BoundDevice } from "./bound-device.ts";
import { hwInfo } from "./hw-info.ts";
import { ObjectTable } from "./object-table.ts";
import { type HwptObject, IoasObject, NestedHwptObject, PagingHwptObject } from "./page-tables.ts";
import type { IommuProfile } from "./profile.ts";
import { answer, noDescriptors, Refusal } from "./refusal.ts";
import { SoftwareMemory } from "./software-memory.ts";

const U64_MAX = (1n << 64n) - 1n;
const MAP_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
const HWPT_FLAGS =
  IOMMU_HWPT_ALLOC_NEST_PARENT |
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
  IOMMU_HWPT_FAULT_ID_VALID |
  IOMMU_HWPT_ALLOC_PASID;

/** An open iommufd of the model. */
export class SoftwareIommufdFile implements IommufdFile {
  readonly #pageSize: number;
  readonly objects = new ObjectTable();
  #compatible: IoasObject | undefined;
  #chargesProcess = false;
  #closed = false;

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  fd(): number {
    throw noDescriptors();
  }

  /** The model knows all ioctls that this library issues. */
  supports(): boolean {
    this.assertOpen();
    return true;
  }

  destroy(id: ObjectId): void {
    this.assertOpen();
    this.objects.destroy(id);
  }

  ioasAlloc(): IoasId {
    this.assertOpen();
    return this.objects.add(new IoasObject(this.#pageSize)).id as IoasId;
  }

  ioasIovaRanges(ioasId: IoasId): IovaRanges {
    this.assertOpen();
    return answer("IOMMU_IOAS_IOVA_RANGES", { ioasId }, () => this.#ioas(ioasId).space.iovaRanges());
  }

  ioasAllowIovas(ioasId: IoasId, ranges: readonly IovaRange[]): void {
    this.assertOpen();
    answer("IOMMU_IOAS_ALLOW_IOVAS", { ioasId }, () => this.#ioas(ioasId).space.allow(ranges));
  }

  /** The model has one process only: all that can be seen is that memory mapped by address cannot change hands. */
  ioasChangeProcess(): void {
    this.assertOpen();
    answer("IOMMU_IOAS_CHANGE_PROCESS", {}, () => {
      for (const object of this.objects) {
        if (object instanceof IoasObject && !object.space.filesOnly) throw new Refusal("EINVAL");
      }
    });
  }

  async ioasCopy(request: IoasCopyRequest): Promise<bigint> {
    return this.ioasCopySync(request);
  }

  ioasCopySync(request: IoasCopyRequest): bigint {
    this.assertOpen();
    const { destinationId, sourceId, flags, length, destinationIova, sourceIova } = request;
    return answer("IOMMU_IOAS_COPY", { ...request }, () => {
      if (flags & ~MAP_FLAGS) throw new Refusal("EOPNOTSUPP");
      if (length >= U64_MAX || sourceIova >= U64_MAX || destinationIova >= U64_MAX)
        throw new Refusal("EOVERFLOW");
      checkPermission(flags);
      const pieces = this.#ioas(sourceId).space.pieces(sourceIova, length);
      const iova = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? destinationIova : undefined;
      return this.#ioas(destinationId).space.insert(pieces, (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0, iova);
    });
  }

  async ioasMap(request: IoasMapRequest): Promise<bigint> {
    return this.ioasMapSync(request);
  }

  ioasMapSync({ ioasId, flags, memory, offset, length, iova }: IoasMapRequest): bigint {
    this.assertOpen();
    if (!(memory instanceof SoftwareMemory))
      throw invalidType("memory", "memory of the software backend", memory);
    return answer("IOMMU_IOAS_MAP", { ioasId, flags, iova, length, offset }, () =>
      this.#map({ ioasId, flags, length, iova }, () => ({ address: memory.address + offset, file: false })),
    );
  }

  async ioasMapMany(request: IoasMapManyRequest): Promise<BatchOutcome> {
    return this.ioasMapManySync(request);
  }

  ioasMapManySync(request: IoasMapManyRequest): BatchOutcome {
    const { ioasId, flags, memory, iovas, offsets, lengths, rollBack } = request;
    const outcome = batch([iovas, offsets, lengths], (iova = 0n, offset = 0n, length = 0n) => {
      this.ioasMapSync({ ioasId, flags, memory, offset, length, iova });
    });
    if (outcome.error !== undefined && rollBack) {
      for (let index = outcome.done - 1; index >= 0; index--) {
        this.ioasUnmapSync(ioasId, iovas[index] as bigint, lengths[index] as bigint);
      }
    }
    return outcome;
  }

  async ioasUnmapMany(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): Promise<BatchOutcome> {
    return this.ioasUnmapManySync(ioasId, iovas, lengths);
  }

  ioasUnmapManySync(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): BatchOutcome {
    return batch([iovas, lengths], (iova = 0n, length = 0n) => {
      this.ioasUnmapSync(ioasId, iova, length);
    });
  }

  async ioasMapFile(request: IoasMapFileRequest): Promise<bigint> {
    return this.ioasMapFileSync(request);
  }

  ioasMapFileSync(request: IoasMapFileRequest): bigint {
    this.assertOpen();
    const { ioasId, flags, file, start, length, iova } = request;
    return answer("IOMMU_IOAS_MAP_FILE", { ioasId, flags, start, length, iova }, () =>
      this.#map(request, () => {
        // iopt_map_file_pages(), before it looks at the file
        if (length === 0n) throw new Refusal("EINVAL");
        if (start + length > U64_MAX) throw new Refusal("EOVERFLOW");
        if (!(file instanceof SoftwareMemory)) throw new Refusal("EBADF");
        return { address: start, file: true };
      }),
    );
  }

  option(request: OptionRequest): bigint {
    this.assertOpen();
    const { optionId, op, objectId, value } = request;
    return answer("IOMMU_OPTION", { ...request }, () => {
      if (optionId === IOMMU_OPTION_RLIMIT_MODE) return this.#rlimitMode(op, objectId, value);
      if (optionId !== IOMMU_OPTION_HUGE_PAGES) throw new Refusal("EOPNOTSUPP");
      const { space } = this.#ioas(objectId);
      if (op === IOMMU_OPTION_OP_GET) return space.hugePages ? 1n : 0n;
      if (op !== IOMMU_OPTION_OP_SET) throw new Refusal("EOPNOTSUPP");
      if (value > 1n) throw new Refusal("EINVAL");
      space.hugePages = value === 1n;
      return value;
    });
  }

  vfioIoas(op: number, ioasId: IoasId | 0): IoasId {
    this.assertOpen();
    return answer("IOMMU_VFIO_IOAS", { op, ioasId }, () => {
      if (op === IOMMU_VFIO_IOAS_GET) {
        if (this.#compatible === undefined || this.objects.find(this.#compatible.id) !== this.#compatible) {
          throw new Refusal("ENODEV");
        }
        return this.#compatible.id as IoasId;
      }
      if (op === IOMMU_VFIO_IOAS_SET) this.#compatible = this.#ioas(ioasId);
      else if (op === IOMMU_VFIO_IOAS_CLEAR) this.#compatible = undefined;
      else throw new Refusal("EOPNOTSUPP");
      return ioasId as IoasId;
    });
  }

  async ioasUnmap(ioasId: IoasId, iova: bigint, length: bigint): Promise<bigint> {
    return this.ioasUnmapSync(ioasId, iova, length);
  }

  ioasUnmapSync(ioasId: IoasId, iova: bigint, length: bigint): bigint {
    this.assertOpen();
    return answer("IOMMU_IOAS_UNMAP", { ioasId, iova, length }, () => {
      const { space } = this.#ioas(ioasId);
      // The one request that may find nothing: everything.
      if (iova === 0n && length === U64_MAX) return space.unmap(0n, U64_MAX);
      if (iova >= U64_MAX || length >= U64_MAX) throw new Refusal("EOVERFLOW");
      if (length === 0n) throw new Refusal("EINVAL");
      const last = iova + length - 1n;
      if (last > U64_MAX) throw new Refusal("EOVERFLOW");
      const unmapped = space.unmap(iova, last);
      if (unmapped === 0n) throw new Refusal("ENOENT");
      return unmapped;
    });
  }

  async hwptAlloc(request: HwptAllocRequest): Promise<HwptId> {
    return this.hwptAllocSync(request);
  }

  hwptAllocSync({ deviceId, ptId, flags, vtdS1 }: HwptAllocRequest): HwptId {
    this.assertOpen();
    return answer("IOMMU_HWPT_ALLOC", { deviceId, ptId, flags }, () => {
      const { iommu, profile } = this.#device(deviceId);
      const hwpt = this.#makeHwpt(this.objects.find(ptId), iommu, profile.outCapabilities, flags, vtdS1);
      this.objects.add(hwpt);
      // Fault queues are not modelled, so no fault id can name one.
      if (flags & IOMMU_HWPT_FAULT_ID_VALID) {
        this.objects.remove(hwpt);
        throw new Refusal("ENOENT");
      }
      return hwpt.id as HwptId;
    });
  }

  hwptSetDirtyTracking(hwptId: HwptId, enabled: boolean): void {
    this.assertOpen();
    answer("IOMMU_HWPT_SET_DIRTY_TRACKING", { hwptId, enabled }, () => {
      if (!this.#pagingHwpt(hwptId).options.dirtyTracking) throw new Refusal("EOPNOTSUPP");
    });
  }

  async hwptGetDirtyBitmap(request: DirtyBitmapRequest): Promise<Uint8Array> {
    return this.hwptGetDirtyBitmapSync(request);
  }

  /** No DMA is modelled yet, so no page is dirty. */
  hwptGetDirtyBitmapSync(request: DirtyBitmapRequest): Uint8Array {
    this.assertOpen();
    const { hwptId, flags, iova, length, pageSize } = request;
    return answer("IOMMU_HWPT_GET_DIRTY_BITMAP", { ...request }, () => {
      if (flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) throw new Refusal("EOPNOTSUPP");
      const hwpt = this.#pagingHwpt(hwptId);
      // iommufd_check_iova_range()
      const end = iova + BigInt.asUintN(64, length - 1n) + 1n;
      if (end > U64_MAX + 1n) throw new Refusal("EOVERFLOW");
      const { alignment } = hwpt.ioas.space.iovaRanges();
      if ((iova | end) & (alignment - 1n) || pageSize === 0n || (iova | end) & (pageSize - 1n)) {
        throw new Refusal("EINVAL");
      }
      if (!hwpt.options.dirtyTracking) throw new Refusal("EOPNOTSUPP");
      return new Uint8Array(Number((length / pageSize + 7n) / 8n));
    });
  }

  getHwInfo(deviceId: DeviceId, capacity: number): HwInfo {
    this.assertOpen();
    return answer("IOMMU_GET_HW_INFO", { deviceId }, () => {
      const { iommu, profile } = this.#device(deviceId);
      return hwInfo(iommu, profile, capacity);
    });
  }

  close(): void {
    this.#closed = true;
  }

  /** @throws IommufdError ERR_IOMMUFD_CLOSED */
  assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the iommufd is closed");
  }

  /** What mapping memory and mapping a file have in common; what is mapped is looked at where the kernel does. */
  #map(
    { ioasId, flags, length, iova }: Pick<IoasMapRequest, "ioasId" | "flags" | "length" | "iova">,
    look: () => { address: bigint; file: boolean },
  ): bigint {
    if (flags & ~MAP_FLAGS) throw new Refusal("EOPNOTSUPP");
    if (iova >= U64_MAX || length >= U64_MAX) throw new Refusal("EOVERFLOW");
    checkPermission(flags);
    return this.#ioas(ioasId).space.map({
      ...look(),
      length,
      writeable: (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0,
      iova: flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined,
    });
  }

  /** iommufd_option_rlimit_mode(); the model's process has CAP_SYS_RESOURCE. */
  #rlimitMode(op: number, objectId: number, value: bigint): bigint {
    if (objectId !== 0) throw new Refusal("EOPNOTSUPP");
    if (op === IOMMU_OPTION_OP_GET) return this.#chargesProcess ? 1n : 0n;
    if (op !== IOMMU_OPTION_OP_SET) throw new Refusal("EOPNOTSUPP");
    if (!this.objects.empty) throw new Refusal("EBUSY");
    if (value > 1n) throw new Refusal("EINVAL");
    this.#chargesProcess = value === 1n;
    return value;
  }

  #makeHwpt(
    parent: unknown,
    iommu: IommuProfile,
    capabilities: readonly string[],
    flags: number,
    vtdS1: HwptAllocRequest["vtdS1"],
  ): HwptObject {
    if (parent instanceof IoasObject) {
      if (flags & ~HWPT_FLAGS) throw new Refusal("EOPNOTSUPP");
      // A driver that tells nothing has no domain_alloc_paging_flags either.
      if (iommu.hwInfo.type === "none" && flags !== 0) throw new Refusal("EOPNOTSUPP");
      const nestParent = (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
      const dirtyTracking = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
      if (dirtyTracking && !capabilities.includes("DIRTY_TRACKING")) throw new Refusal("EOPNOTSUPP");
      if (flags & IOMMU_HWPT_FAULT_ID_VALID && nestParent) throw new Refusal("EOPNOTSUPP");
      if (vtdS1 !== undefined) throw new Refusal("EOPNOTSUPP");
      return new PagingHwptObject(parent, iommu, { nestParent, dirtyTracking, automatic: false });
    }
    if (parent instanceof PagingHwptObject) {
      if (flags & ~(IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID)) throw new Refusal("EOPNOTSUPP");
      if (vtdS1 === undefined) throw new Refusal("EOPNOTSUPP");
      return new NestedHwptObject(parent, iommu, vtdS1);
    }
    throw new Refusal("EINVAL");
  }

  #ioas(id: number): IoasObject {
    const object = this.objects.find(id);
    if (!(object instanceof IoasObject)) throw new Refusal("ENOENT");
    return object;
  }

  #pagingHwpt(id: number): PagingHwptObject {
    const object = this.objects.find(id);
    if (!(object instanceof PagingHwptObject)) throw new Refusal("ENOENT");
    return object;
  }

  #device(id: number): BoundDevice {
    const object = this.objects.find(id);
    if (!(object instanceof BoundDevice)) throw new Refusal("ENOENT");
    return object;
  }
}

/** Handles what is at each index of the arrays, until one is refused; the error tells its index. */
function batch(
  arrays: readonly BigUint64Array[],
  handle: (...values: (bigint | undefined)[]) => void,
): BatchOutcome {
  const count = arrays[0]?.length ?? 0;
  for (let done = 0; done < count; done++) {
    try {
      handle(...arrays.map((array) => array[done]));
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return { done, error: systemError(error.errno, error.syscall, { index: done, ...error.request }) };
    }
  }
  return { done: count };
}

function checkPermission(flags: number): void {
  if (!(flags & (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE))) throw new Refusal("EINVAL");
}
