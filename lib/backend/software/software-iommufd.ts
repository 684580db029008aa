/**
 * An iommufd as the model keeps it, one method per ioctl (drivers/iommu/iommufd/).
 */

import { IommufdError, invalidType } from "../../errors.ts";
import type {
  BatchOutcome,
  DirtyBitmapRequest,
  FaultQueueFile,
  HwptAllocRequest,
  HwQueueAllocRequest,
  InvalidateRequest,
  IoasCopyRequest,
  IoasMapFileRequest,
  IoasMapManyRequest,
  IoasMapRequest,
  IommufdFile,
  OptionRequest,
  ViommuAllocRequest,
} from "../backend.ts";
import {
  type DeviceId,
  type HwInfo,
  type HwptId,
  IOMMU_HW_INFO_TYPE_NONE,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_IOAS_MAP_FIXED_IOVA,
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
  type ViommuId,
} from "../uapi.ts";
import { mapMany, outcomeOf, unmapMany } from "./batch.ts";
import { BoundDevice } from "./bound-device.ts";
import type { Failures } from "./failures.ts";
import { FaultQueueObject, SoftwareFaultQueueFile } from "./fault-queue.ts";
import { hwInfo } from "./hw-info.ts";
import type { LockedMemory } from "./locked-memory.ts";
import { checkMapFlags, checkUnmapRange } from "./map-arguments.ts";
import { ObjectTable } from "./object-table.ts";
import { driverData, IoasObject, makeHwpt, NestedHwptObject, PagingHwptObject } from "./page-tables.ts";
import { noDescriptors, Refusal } from "./refusal.ts";
import { SoftwareMemory } from "./software-memory.ts";

const U64_MAX = (1n << 64n) - 1n;
/** IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX */
const MOST_INVALIDATIONS = 1 << 19;
/** VEVENTQ_MAX_DEPTH */
const MOST_VEVENTS = 1 << 19;

/** An open iommufd of the model. */
export class SoftwareIommufdFile implements IommufdFile {
  readonly #pageSize: number;
  readonly #limit: LockedMemory;
  readonly #failures: Failures;
  readonly objects = new ObjectTable();
  #compatible: IoasObject | undefined;
  #chargesProcess = false;
  #closed = false;

  constructor(pageSize: number, limit: LockedMemory, failures: Failures) {
    this.#pageSize = pageSize;
    this.#limit = limit;
    this.#failures = failures;
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
    this.#failures.answer("IOMMU_DESTROY", { id }, () => this.objects.destroy(id));
  }

  ioasAlloc(): IoasId {
    this.assertOpen();
    return this.#failures.answer("IOMMU_IOAS_ALLOC", {}, () => {
      return this.objects.add(new IoasObject(this.#pageSize, this.#limit)).id as IoasId;
    });
  }

  ioasIovaRanges(ioasId: IoasId): IovaRanges {
    this.assertOpen();
    return this.#failures.answer("IOMMU_IOAS_IOVA_RANGES", { ioasId }, () =>
      this.#ioas(ioasId).space.iovaRanges(),
    );
  }

  ioasAllowIovas(ioasId: IoasId, ranges: readonly IovaRange[]): void {
    this.assertOpen();
    this.#failures.answer("IOMMU_IOAS_ALLOW_IOVAS", { ioasId }, () => this.#ioas(ioasId).space.allow(ranges));
  }

  /** The model has one process only: all that can be seen is that memory mapped by address cannot change hands. */
  ioasChangeProcess(): void {
    this.assertOpen();
    this.#failures.answer("IOMMU_IOAS_CHANGE_PROCESS", {}, () => {
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
    return this.#failures.answer("IOMMU_IOAS_COPY", { ...request }, () => {
      const permission = checkMapFlags(flags, length, destinationIova, sourceIova);
      const pieces = this.#ioas(sourceId).space.pieces(sourceIova, length);
      const iova = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? destinationIova : undefined;
      return this.#ioas(destinationId).space.insert(pieces, permission, iova);
    });
  }

  async ioasMap(request: IoasMapRequest): Promise<bigint> {
    return this.ioasMapSync(request);
  }

  ioasMapSync({ ioasId, flags, memory, offset, length, iova }: IoasMapRequest): bigint {
    this.assertOpen();
    if (!(memory instanceof SoftwareMemory))
      throw invalidType("memory", "memory of the software backend", memory);
    return this.#failures.answer("IOMMU_IOAS_MAP", { ioasId, flags, iova, length, offset }, () => {
      const permission = checkMapFlags(flags, length, iova);
      const fixed = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined;
      const address = memory.address + offset;
      return this.#ioas(ioasId).space.map({ memory, address, file: false, length, permission, iova: fixed });
    });
  }

  async ioasMapMany(request: IoasMapManyRequest): Promise<BatchOutcome> {
    return this.ioasMapManySync(request);
  }

  ioasMapManySync(request: IoasMapManyRequest): BatchOutcome {
    return mapMany(this, request);
  }

  async ioasUnmapMany(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): Promise<BatchOutcome> {
    return this.ioasUnmapManySync(ioasId, iovas, lengths);
  }

  ioasUnmapManySync(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): BatchOutcome {
    return unmapMany(this, ioasId, iovas, lengths);
  }

  async ioasMapFile(request: IoasMapFileRequest): Promise<bigint> {
    return this.ioasMapFileSync(request);
  }

  ioasMapFileSync(request: IoasMapFileRequest): bigint {
    this.assertOpen();
    const { ioasId, flags, file, start, length, iova } = request;
    return this.#failures.answer("IOMMU_IOAS_MAP_FILE", { ioasId, flags, start, length, iova }, () => {
      const permission = checkMapFlags(flags, length, iova);
      const { space } = this.#ioas(ioasId);
      // iopt_map_file_pages(), before it looks at the file
      if (length === 0n) throw new Refusal("EINVAL");
      if (start + length > U64_MAX) throw new Refusal("EOVERFLOW");
      if (!(file instanceof SoftwareMemory) || file.anonymous) throw new Refusal("EBADF");
      const fixed = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined;
      return space.map({ memory: file, address: start, file: true, length, permission, iova: fixed });
    });
  }

  option(request: OptionRequest): bigint {
    this.assertOpen();
    const { optionId, op, objectId, value } = request;
    return this.#failures.answer("IOMMU_OPTION", { ...request }, () => {
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
    return this.#failures.answer("IOMMU_VFIO_IOAS", { op, ioasId }, () => {
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
    return this.#failures.answer("IOMMU_IOAS_UNMAP", { ioasId, iova, length }, () => {
      const { space } = this.#ioas(ioasId);
      // The one request that may find nothing: everything.
      if (iova === 0n && length === U64_MAX) return space.unmap(0n, U64_MAX);
      const last = checkUnmapRange(iova, length);
      const unmapped = space.unmap(iova, last);
      if (unmapped === 0n) throw new Refusal("ENOENT");
      return unmapped;
    });
  }

  async hwptAlloc(request: HwptAllocRequest): Promise<HwptId> {
    return this.hwptAllocSync(request);
  }

  hwptAllocSync({ deviceId, ptId, flags, faultId, data: given }: HwptAllocRequest): HwptId {
    this.assertOpen();
    return this.#failures.answer("IOMMU_HWPT_ALLOC", { deviceId, ptId, flags }, () => {
      const data = driverData(given);
      const hwpt = makeHwpt(this.objects.find(ptId), this.#device(deviceId), flags, data);
      this.objects.add(hwpt);
      if (flags & IOMMU_HWPT_FAULT_ID_VALID) {
        const queue = this.objects.find(faultId ?? 0);
        if (!(queue instanceof FaultQueueObject)) {
          this.objects.remove(hwpt);
          throw new Refusal("ENOENT");
        }
        hwpt.faultQueue = queue;
        queue.users++;
      }
      return hwpt.id as HwptId;
    });
  }

  hwptInvalidate(request: InvalidateRequest): BatchOutcome {
    this.assertOpen();
    const { id, dataType, entryLength, count } = request;
    return outcomeOf(() =>
      this.#failures.answer("IOMMU_HWPT_INVALIDATE", { id, dataType, index: 0 }, () => {
        if (count > 0 && (entryLength === 0 || entryLength > this.#pageSize || count > MOST_INVALIDATIONS))
          throw new Refusal("EINVAL");
        const object = this.objects.find(id);
        if (object === undefined) throw new Refusal("ENOENT");
        if (!(object instanceof NestedHwptObject)) throw new Refusal("EINVAL");
        return object.invalidate(request);
      }),
    );
  }

  hwptSetDirtyTracking(hwptId: HwptId, enabled: boolean): void {
    this.assertOpen();
    this.#failures.answer("IOMMU_HWPT_SET_DIRTY_TRACKING", { hwptId, enabled }, () => {
      this.#pagingHwpt(hwptId).setDirtyTracking(enabled);
    });
  }

  async hwptGetDirtyBitmap(request: DirtyBitmapRequest): Promise<Uint8Array> {
    return this.hwptGetDirtyBitmapSync(request);
  }

  hwptGetDirtyBitmapSync(request: DirtyBitmapRequest): Uint8Array {
    this.assertOpen();
    return this.#failures.answer("IOMMU_HWPT_GET_DIRTY_BITMAP", { ...request }, () => {
      if (request.flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) throw new Refusal("EOPNOTSUPP");
      return this.#pagingHwpt(request.hwptId).dirtyBitmap(request);
    });
  }

  getHwInfo(deviceId: DeviceId, capacity: number, type = IOMMU_HW_INFO_TYPE_NONE): HwInfo {
    this.assertOpen();
    return this.#failures.answer("IOMMU_GET_HW_INFO", { deviceId, type }, () => {
      const { iommu, profile } = this.#device(deviceId);
      return hwInfo(iommu, profile, capacity, type);
    });
  }

  faultQueueAlloc(): FaultQueueFile {
    this.assertOpen();
    return this.#failures.answer("IOMMU_FAULT_QUEUE_ALLOC", {}, () => {
      return new SoftwareFaultQueueFile(this.objects.add(new FaultQueueObject()));
    });
  }

  /** No modelled IOMMU has one: VT-d has none in the kernel either. */
  viommuAlloc({ deviceId, hwptId, data: { type } }: ViommuAllocRequest): never {
    this.assertOpen();
    return this.#failures.answer("IOMMU_VIOMMU_ALLOC", { deviceId, hwptId, type }, () => {
      if (type !== 0) this.#device(deviceId);
      throw new Refusal("EOPNOTSUPP");
    });
  }

  vdeviceAlloc(viommuId: ViommuId, deviceId: DeviceId, virtId: bigint): never {
    this.assertOpen();
    return this.#failures.answer("IOMMU_VDEVICE_ALLOC", { viommuId, deviceId, virtId }, () => {
      throw new Refusal("ENOENT");
    });
  }

  veventqAlloc(viommuId: ViommuId, type: number, depth: number): never {
    this.assertOpen();
    return this.#failures.answer("IOMMU_VEVENTQ_ALLOC", { viommuId, type, depth }, () => {
      if (type === 0) throw new Refusal("EOPNOTSUPP");
      throw new Refusal(depth === 0 || depth > MOST_VEVENTS ? "EINVAL" : "ENOENT");
    });
  }

  hwQueueAlloc(request: HwQueueAllocRequest): never {
    this.assertOpen();
    const { type, iova, length } = request;
    return this.#failures.answer("IOMMU_HW_QUEUE_ALLOC", { ...request }, () => {
      if (type === 0) throw new Refusal("EOPNOTSUPP");
      if (length === 0n) throw new Refusal("EINVAL");
      if (iova + length - 1n > U64_MAX) throw new Refusal("EOVERFLOW");
      throw new Refusal("ENOENT");
    });
  }

  /** Only vIOMMUs have something to map. */
  mapRegion(position: bigint, length: bigint): never {
    this.assertOpen();
    return this.#failures.answer("mmap", { position, length }, () => {
      throw new Refusal("ENXIO");
    });
  }

  close(): void {
    this.#closed = true;
    this.settle();
  }

  /** A device keeps the iommufd that it is bound to: what is mapped goes with the last of them. */
  settle(): void {
    const objects = [...this.objects];
    if (!this.#closed || objects.some((object) => object instanceof BoundDevice)) return;
    for (const object of objects) if (object instanceof IoasObject) object.space.unmap(0n, U64_MAX);
  }

  /** @throws IommufdError ERR_IOMMUFD_CLOSED */
  assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the iommufd is closed");
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
