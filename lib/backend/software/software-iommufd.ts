/**
 * An iommufd as the model keeps it, one method per ioctl (drivers/iommu/iommufd/).
 */

import { IommufdError, invalidType } from "../../errors.ts";
import {
  type DeviceId,
  type HwInfo,
  type HwptId,
  type HwQueueId,
  IOMMU_HW_INFO_TYPE_NONE,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  type IoasId,
  type IovaRange,
  type IovaRanges,
  type ObjectId,
  type VdeviceId,
  type ViommuId,
} from "../../uapi.ts";
import type { IommufdFile } from "../backend.ts";
import type { BackendRegion, FaultQueueFile, VeventQueueFile } from "../handles.ts";
import type {
  BatchOutcome,
  DirtyBitmapRequest,
  HwptAllocRequest,
  HwQueueAllocRequest,
  InvalidateRequest,
  IoasCopyRequest,
  IoasMapFileRequest,
  IoasMapManyRequest,
  IoasMapRequest,
  OptionRequest,
  ViommuAllocRequest,
} from "../requests.ts";
import { mapMany, outcomeOf, unmapMany } from "./batch.ts";
import { BoundDevice } from "./bound-device.ts";
import type { Failures } from "./failures.ts";
import { FaultQueueObject, SoftwareFaultQueueFile } from "./fault-queue.ts";
import { hwInfo } from "./hw-info.ts";
import { IommufdOptions } from "./iommufd-options.ts";
import type { LockedMemory } from "./locked-memory.ts";
import { driverData, makeHwpt } from "./make-hwpt.ts";
import { checkMapFlags, checkUnmapRange } from "./map-arguments.ts";
import { ObjectTable } from "./object-table.ts";
import { IoasObject, NestedHwptObject, PagingHwptObject } from "./page-tables.ts";
import { noDescriptors, Refusal } from "./refusal.ts";
import { SoftwareMemory } from "./software-memory.ts";
import { SoftwareRegion } from "./software-region.ts";
import { checkVeventq, SoftwareVeventQueueFile, VeventqObject } from "./vevent-queue.ts";
import { HwQueueObject, VdeviceObject, ViommuObject } from "./viommu.ts";

const U64_MAX = (1n << 64n) - 1n;
/** IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX */
const MOST_INVALIDATIONS = 1 << 19;

/** Where what a vIOMMU offers can be mapped. */
function regionOffset(id: number): bigint {
  return BigInt(id) << 20n;
}

/** An open iommufd of the model. */
export class SoftwareIommufdFile implements IommufdFile {
  readonly #pageSize: number;
  readonly #limit: LockedMemory;
  readonly #failures: Failures;
  readonly objects = new ObjectTable();
  readonly #options = new IommufdOptions(this.objects);
  #closed = false;
  /** Who keeps the file open: its descriptor, the devices bound to it, the descriptors of its queues. */
  #holders = 1;

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
    this.#answer("IOMMU_DESTROY", { id }, () => this.objects.destroy(id));
  }

  ioasAlloc(): IoasId {
    return this.#answer("IOMMU_IOAS_ALLOC", {}, () => {
      return this.objects.add(new IoasObject(this.#pageSize, this.#limit)).id as IoasId;
    });
  }

  ioasIovaRanges(ioasId: IoasId): IovaRanges {
    return this.#answer("IOMMU_IOAS_IOVA_RANGES", { ioasId }, () => this.#ioas(ioasId).iopt.iovaRanges());
  }

  ioasAllowIovas(ioasId: IoasId, ranges: readonly IovaRange[]): void {
    this.#answer("IOMMU_IOAS_ALLOW_IOVAS", { ioasId }, () => this.#ioas(ioasId).iopt.allow(ranges));
  }

  /** The model has one process only: all that can be seen is that memory mapped by address cannot change hands. */
  ioasChangeProcess(): void {
    this.#answer("IOMMU_IOAS_CHANGE_PROCESS", {}, () => {
      for (const object of this.objects) {
        if (object instanceof IoasObject && !object.iopt.filesOnly) throw new Refusal("EINVAL");
      }
    });
  }

  async ioasCopy(request: IoasCopyRequest): Promise<bigint> {
    return this.ioasCopySync(request);
  }

  ioasCopySync(request: IoasCopyRequest): bigint {
    const { destinationId, sourceId, flags, length, destinationIova, sourceIova } = request;
    return this.#answer("IOMMU_IOAS_COPY", { ...request }, () => {
      const permission = checkMapFlags(flags, length, destinationIova, sourceIova);
      const pieces = this.#ioas(sourceId).iopt.pieces(sourceIova, length);
      const iova = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? destinationIova : undefined;
      return this.#ioas(destinationId).iopt.insert(pieces, permission, iova);
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
      return this.#ioas(ioasId).iopt.map({ memory, address, file: false, length, permission, iova: fixed });
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
    const { ioasId, flags, file, start, length, iova } = request;
    return this.#answer("IOMMU_IOAS_MAP_FILE", { ioasId, flags, start, length, iova }, () => {
      const permission = checkMapFlags(flags, length, iova);
      const { iopt } = this.#ioas(ioasId);
      // iopt_map_file_pages(), before it looks at the file
      if (length === 0n) throw new Refusal("EINVAL");
      if (start + length > U64_MAX) throw new Refusal("EOVERFLOW");
      if (!(file instanceof SoftwareMemory) || file.anonymous) throw new Refusal("EBADF");
      const fixed = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined;
      return iopt.map({ memory: file, address: start, file: true, length, permission, iova: fixed });
    });
  }

  option(request: OptionRequest): bigint {
    return this.#answer("IOMMU_OPTION", { ...request }, () => this.#options.option(request));
  }

  vfioIoas(op: number, ioasId: IoasId | 0): IoasId {
    return this.#answer("IOMMU_VFIO_IOAS", { op, ioasId }, () => this.#options.vfioIoas(op, ioasId));
  }

  async ioasUnmap(ioasId: IoasId, iova: bigint, length: bigint): Promise<bigint> {
    return this.ioasUnmapSync(ioasId, iova, length);
  }

  ioasUnmapSync(ioasId: IoasId, iova: bigint, length: bigint): bigint {
    return this.#answer("IOMMU_IOAS_UNMAP", { ioasId, iova, length }, () => {
      const { iopt } = this.#ioas(ioasId);
      // The one request that may find nothing: everything.
      if (iova === 0n && length === U64_MAX) return iopt.unmap(0n, U64_MAX);
      const last = checkUnmapRange(iova, length);
      const unmapped = iopt.unmap(iova, last);
      if (unmapped === 0n) throw new Refusal("ENOENT");
      return unmapped;
    });
  }

  async hwptAlloc(request: HwptAllocRequest): Promise<HwptId> {
    return this.hwptAllocSync(request);
  }

  hwptAllocSync({ deviceId, ptId, flags, faultId, data: given }: HwptAllocRequest): HwptId {
    return this.#answer("IOMMU_HWPT_ALLOC", { deviceId, ptId, flags }, () => {
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
    const { id, dataType, entryLength, count } = request;
    return outcomeOf(() =>
      this.#answer("IOMMU_HWPT_INVALIDATE", { id, dataType, index: 0 }, () => {
        if (count > 0 && (entryLength === 0 || entryLength > this.#pageSize || count > MOST_INVALIDATIONS))
          throw new Refusal("EINVAL");
        const object = this.objects.find(id);
        if (object === undefined) throw new Refusal("ENOENT");
        if (object instanceof NestedHwptObject || object instanceof ViommuObject)
          return object.invalidate(request);
        throw new Refusal("EINVAL");
      }),
    );
  }

  hwptSetDirtyTracking(hwptId: HwptId, enabled: boolean): void {
    this.#answer("IOMMU_HWPT_SET_DIRTY_TRACKING", { hwptId, enabled }, () => {
      this.#pagingHwpt(hwptId).setDirtyTracking(enabled);
    });
  }

  async hwptGetDirtyBitmap(request: DirtyBitmapRequest): Promise<Uint8Array> {
    return this.hwptGetDirtyBitmapSync(request);
  }

  hwptGetDirtyBitmapSync(request: DirtyBitmapRequest): Uint8Array {
    return this.#answer("IOMMU_HWPT_GET_DIRTY_BITMAP", { ...request }, () => {
      if (request.flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) throw new Refusal("EOPNOTSUPP");
      return this.#pagingHwpt(request.hwptId).dirtyBitmap(request);
    });
  }

  getHwInfo(deviceId: DeviceId, capacity: number, type = IOMMU_HW_INFO_TYPE_NONE): HwInfo {
    return this.#answer("IOMMU_GET_HW_INFO", { deviceId, type }, () => {
      const { iommu, profile } = this.#device(deviceId);
      return hwInfo(iommu, profile, capacity, type);
    });
  }

  faultQueueAlloc(): FaultQueueFile {
    return this.#answer("IOMMU_FAULT_QUEUE_ALLOC", {}, () => {
      return new SoftwareFaultQueueFile(this.objects.add(new FaultQueueObject()), this.hold());
    });
  }

  viommuAlloc({ deviceId, hwptId, data }: ViommuAllocRequest): { id: ViommuId; data: Uint8Array } {
    return this.#answer("IOMMU_VIOMMU_ALLOC", { deviceId, hwptId, type: data.type }, () => {
      if (data.type === 0) throw new Refusal("EOPNOTSUPP");
      const viommu = new ViommuObject(this.#device(deviceId), this.objects.find(hwptId), data);
      this.objects.add(viommu);
      try {
        viommu.answer(regionOffset(viommu.id));
      } catch (error) {
        this.objects.remove(viommu);
        throw error;
      }
      return { id: viommu.id as ViommuId, data: viommu.data };
    });
  }

  vdeviceAlloc(viommuId: ViommuId, deviceId: DeviceId, virtId: bigint): VdeviceId {
    return this.#answer("IOMMU_VDEVICE_ALLOC", { viommuId, deviceId, virtId }, () => {
      const viommu = this.#viommu(viommuId);
      return this.objects.add(new VdeviceObject(viommu, this.#device(deviceId), virtId)).id as VdeviceId;
    });
  }

  veventqAlloc(viommuId: ViommuId, type: number, depth: number): VeventQueueFile {
    return this.#answer("IOMMU_VEVENTQ_ALLOC", { viommuId, type, depth }, () => {
      checkVeventq(type, depth);
      const queue = this.objects.add(new VeventqObject(this.#viommu(viommuId), type, depth));
      return new SoftwareVeventQueueFile(queue, this.hold());
    });
  }

  hwQueueAlloc(request: HwQueueAllocRequest): HwQueueId {
    const { viommuId, type, iova, length } = request;
    return this.#answer("IOMMU_HW_QUEUE_ALLOC", { ...request }, () => {
      if (type === 0) throw new Refusal("EOPNOTSUPP");
      if (length === 0n) throw new Refusal("EINVAL");
      if (iova + length - 1n > U64_MAX) throw new Refusal("EOVERFLOW");
      return this.objects.add(new HwQueueObject(this.#viommu(viommuId), request)).id as HwQueueId;
    });
  }

  /** Only vIOMMUs have something to map. */
  mapRegion(position: bigint, length: bigint): BackendRegion {
    return this.#answer("mmap", { position, length }, () => {
      const viommu = [...this.objects].find(
        (object) => object instanceof ViommuObject && regionOffset(object.id) === position,
      ) as ViommuObject | undefined;
      if (viommu === undefined || length !== BigInt(viommu.page.byteLength)) throw new Refusal("ENXIO");
      return new SoftwareRegion(viommu.page);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#drop();
  }

  /** iommufd_ctx_get(): keeps the objects, whether or not the descriptor is closed. Returns how to let go, once. */
  hold(): () => void {
    this.#holders++;
    return () => this.#drop();
  }

  /** iommufd_ctx_put(): the last one destroys everything. */
  #drop(): void {
    if (--this.#holders === 0) this.objects.destroyAll();
  }

  /** Runs the body of a call, unless the iommufd is closed or the call is to fail. */
  #answer<Result>(syscall: string, request: Readonly<Record<string, unknown>>, body: () => Result): Result {
    this.assertOpen();
    return this.#failures.answer(syscall, request, body);
  }

  /** @throws IommufdError ERR_IOMMUFD_CLOSED */
  assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the iommufd is closed");
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

  #viommu(id: number): ViommuObject {
    const object = this.objects.find(id);
    if (!(object instanceof ViommuObject)) throw new Refusal("ENOENT");
    return object;
  }

  #device(id: number): BoundDevice {
    const object = this.objects.find(id);
    if (!(object instanceof BoundDevice)) throw new Refusal("ENOENT");
    return object;
  }
}
