/**
 * An iommufd as the model keeps it, one method per ioctl (drivers/iommu/iommufd/).
 */

import { IommufdError, invalidType, systemError } from "../../errors.ts";
import {
  type DeviceId,
  type HwptId,
  type HwQueueId,
  IOMMU_HW_INFO_TYPE_NONE,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  type IoasId,
  type IovaRange,
  type ObjectId,
  type VdeviceId,
  type ViommuId,
} from "../../uapi.ts";
import { IOMMUFD_IOCTLS, type IommufdCall } from "../ioctl.ts";
import type { Errno, RawIommufdFile } from "../raw.ts";
import type {
  DirtyBitmapRequest,
  HwptAllocRequest,
  HwQueueAllocRequest,
  InvalidateRequest,
  IoasCopyRequest,
  IoasMapFileRequest,
  IoasMapRequest,
  OptionRequest,
  ViommuAllocRequest,
} from "../requests.ts";
import { BoundDevice } from "./bound-device.ts";
import { FaultQueueObject, SoftwareFaultQueueFile } from "./fault-queue.ts";
import { hwInfo } from "./hw-info.ts";
import { IommufdOptions } from "./iommufd-options.ts";
import type { KernelRelease } from "./kernel-release.ts";
import type { MemoryLimits } from "./locked-memory.ts";
import { driverData, makeHwpt } from "./make-hwpt.ts";
import { checkMapFlags, checkUnmapRange } from "./map-arguments.ts";
import { ObjectTable } from "./object-table.ts";
import { IoasObject, NestedHwptObject, PagingHwptObject } from "./page-tables.ts";
import { answer, noDescriptors, Refusal } from "./refusal.ts";
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
export class SoftwareIommufdFile implements RawIommufdFile {
  readonly #pageSize: number;
  readonly #limits: MemoryLimits;
  readonly #release: KernelRelease;
  readonly objects = new ObjectTable();
  readonly #options: IommufdOptions;
  #closed = false;
  /** The users that keep the file open: its descriptor, the devices bound to it, the descriptors of its queues. */
  #holders = 1;

  constructor(pageSize: number, limits: MemoryLimits, release: KernelRelease) {
    this.#pageSize = pageSize;
    this.#limits = limits;
    this.#release = release;
    // A process with a limit is not root.
    this.#options = new IommufdOptions(this.objects, limits.user.limit === undefined);
  }

  fd(): number {
    throw noDescriptors();
  }

  supports(ioctl: IommufdCall): boolean {
    this.assertOpen();
    return this.#release.supports(ioctl);
  }

  destroy(id: ObjectId) {
    return this.#answer(() => this.objects.destroy(id));
  }

  ioasAlloc() {
    return this.#answer(() => {
      const limit = this.#options.chargesProcess ? this.#limits.process : this.#limits.user;
      return this.objects.add(new IoasObject(this.#pageSize, limit)).id as IoasId;
    });
  }

  ioasIovaRanges(ioasId: IoasId) {
    return this.#answer(() => this.objects.get(ioasId, IoasObject).iopt.iovaRanges());
  }

  ioasAllowIovas(ioasId: IoasId, ranges: readonly IovaRange[]) {
    return this.#answer(() => this.objects.get(ioasId, IoasObject).iopt.allow(ranges));
  }

  /** The model has one process only: all that can be seen is that memory mapped by address cannot change hands. */
  ioasChangeProcess() {
    return this.#young(IOMMUFD_IOCTLS.ioasChangeProcess, () => {
      for (const object of this.objects) {
        if (object instanceof IoasObject && !object.iopt.filesOnly) throw new Refusal("EINVAL");
      }
    });
  }

  ioasCopySync(request: IoasCopyRequest) {
    const { destinationId, sourceId, flags, length, destinationIova, sourceIova } = request;
    return this.#answer(() => {
      const permission = checkMapFlags(flags, length, destinationIova, sourceIova);
      const pieces = this.objects.get(sourceId, IoasObject).iopt.pieces(sourceIova, length);
      const iova = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? destinationIova : undefined;
      return this.objects.get(destinationId, IoasObject).iopt.insert(pieces, permission, iova);
    });
  }

  ioasMapSync({ ioasId, flags, memory, offset, length, iova }: IoasMapRequest) {
    return this.#answer(() => {
      if (!(memory instanceof SoftwareMemory))
        throw invalidType("memory", "memory of the software backend", memory);
      const permission = checkMapFlags(flags, length, iova);
      const fixed = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined;
      const address = memory.address + offset;
      return this.objects
        .get(ioasId, IoasObject)
        .iopt.map({ memory, address, file: false, length, permission, iova: fixed });
    });
  }

  ioasMapFileSync(request: IoasMapFileRequest) {
    const { ioasId, flags, file, start, length, iova } = request;
    // Memory other than a file has no descriptor, and so the kernel is not asked.
    if (file instanceof SoftwareMemory && file.anonymous) throw systemError("EBADF", "memfd");
    return this.#young(IOMMUFD_IOCTLS.ioasMapFile, () => {
      const permission = checkMapFlags(flags, length, iova);
      const { iopt } = this.objects.get(ioasId, IoasObject);
      // iopt_map_file_pages(), before it looks at the file
      if (length === 0n) throw new Refusal("EINVAL");
      if (start + length - 1n > U64_MAX) throw new Refusal("EOVERFLOW");
      if (!(file instanceof SoftwareMemory)) throw new Refusal("EBADF");
      const fixed = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined;
      return iopt.map({ memory: file, address: start, file: true, length, permission, iova: fixed });
    });
  }

  option(request: OptionRequest) {
    return this.#answer(() => this.#options.option(request));
  }

  vfioIoas(op: number, ioasId: IoasId | 0) {
    return this.#answer(() => this.#options.vfioIoas(op, ioasId));
  }

  ioasUnmapSync(ioasId: IoasId, iova: bigint, length: bigint) {
    return this.#answer(() => {
      const { iopt } = this.objects.get(ioasId, IoasObject);
      // The one request that may find nothing: everything.
      if (iova === 0n && length === U64_MAX) return iopt.unmap(0n, U64_MAX);
      const last = checkUnmapRange(iova, length);
      const unmapped = iopt.unmap(iova, last);
      if (unmapped === 0n) throw new Refusal("ENOENT");
      return unmapped;
    });
  }

  hwptAllocSync({ deviceId, ptId, flags, faultId, data: given }: HwptAllocRequest) {
    return this.#answer(() => {
      const data = driverData(given);
      const hwpt = makeHwpt(
        this.objects.find(ptId),
        this.objects.get(deviceId, BoundDevice),
        flags,
        data,
        this.#release,
      );
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

  hwptInvalidate(request: InvalidateRequest) {
    const { id, entryLength, count } = request;
    return this.#young(IOMMUFD_IOCTLS.hwptInvalidate, () => {
      if (count > 0 && (entryLength === 0 || entryLength > this.#pageSize || count > MOST_INVALIDATIONS))
        throw new Refusal("EINVAL");
      const object = this.objects.find(id);
      if (object === undefined) throw new Refusal("ENOENT");
      if (object instanceof NestedHwptObject || object instanceof ViommuObject)
        return object.invalidate(request);
      // Without vIOMMUs the kernel looks for nothing but nested page tables.
      throw new Refusal(this.#release.supports(IOMMUFD_IOCTLS.viommuAlloc) ? "EINVAL" : "ENOENT");
    });
  }

  hwptSetDirtyTracking(hwptId: HwptId, enabled: boolean) {
    return this.#young(IOMMUFD_IOCTLS.hwptSetDirtyTracking, () => {
      this.objects.get(hwptId, PagingHwptObject).setDirtyTracking(enabled);
    });
  }

  hwptGetDirtyBitmapSync(request: DirtyBitmapRequest) {
    return this.#young(IOMMUFD_IOCTLS.hwptGetDirtyBitmap, () => {
      if (request.flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) throw new Refusal("EOPNOTSUPP");
      return this.objects.get(request.hwptId, PagingHwptObject).dirtyBitmap(request);
    });
  }

  getHwInfo(deviceId: DeviceId, capacity: number, type?: number) {
    return this.#answer(() => {
      if (type !== undefined && !this.#release.takes("hwInfoType")) throw new Refusal("EOPNOTSUPP");
      const { iommu, profile } = this.objects.get(deviceId, BoundDevice);
      return hwInfo(iommu, profile, capacity, type ?? IOMMU_HW_INFO_TYPE_NONE);
    });
  }

  faultQueueAlloc() {
    return this.#young(IOMMUFD_IOCTLS.faultQueueAlloc, () => {
      return new SoftwareFaultQueueFile(this.objects.add(new FaultQueueObject()), this.hold());
    });
  }

  viommuAlloc({ deviceId, hwptId, type, bytes }: ViommuAllocRequest) {
    return this.#young(IOMMUFD_IOCTLS.viommuAlloc, () => {
      if (type === 0) throw new Refusal("EOPNOTSUPP");
      const viommu = new ViommuObject(this.objects.get(deviceId, BoundDevice), this.objects.find(hwptId), {
        type,
        bytes,
      });
      this.objects.add(viommu);
      try {
        viommu.driver.answer?.(viommu.data, regionOffset(viommu.id));
      } catch (error) {
        this.objects.remove(viommu);
        throw error;
      }
      return { id: viommu.id as ViommuId, data: viommu.data };
    });
  }

  vdeviceAlloc(viommuId: ViommuId, deviceId: DeviceId, virtId: bigint) {
    return this.#young(IOMMUFD_IOCTLS.vdeviceAlloc, () => {
      const viommu = this.objects.get(viommuId, ViommuObject);
      return this.objects.add(new VdeviceObject(viommu, this.objects.get(deviceId, BoundDevice), virtId))
        .id as VdeviceId;
    });
  }

  veventqAlloc(viommuId: ViommuId, type: number, depth: number) {
    return this.#young(IOMMUFD_IOCTLS.veventqAlloc, () => {
      checkVeventq(type, depth);
      const queue = this.objects.add(
        new VeventqObject(this.objects.get(viommuId, ViommuObject), type, depth),
      );
      return new SoftwareVeventQueueFile(queue, this.hold());
    });
  }

  hwQueueAlloc(request: HwQueueAllocRequest) {
    const { viommuId, type, iova, length } = request;
    return this.#young(IOMMUFD_IOCTLS.hwQueueAlloc, () => {
      if (type === 0) throw new Refusal("EOPNOTSUPP");
      if (length === 0n) throw new Refusal("EINVAL");
      if (iova + length - 1n > U64_MAX) throw new Refusal("EOVERFLOW");
      return this.objects.add(new HwQueueObject(this.objects.get(viommuId, ViommuObject), request))
        .id as HwQueueId;
    });
  }

  /** Only vIOMMUs have something to map. */
  mapRegion(position: bigint, length: bigint) {
    return this.#answer(() => {
      if (!this.#release.takes("mmap")) throw new Refusal("ENODEV");
      for (const object of this.objects) {
        if (!(object instanceof ViommuObject) || regionOffset(object.id) !== position) continue;
        const { page } = object.driver;
        if (page !== undefined && length === BigInt(page.byteLength)) return new SoftwareRegion(page);
      }
      throw new Refusal("ENXIO");
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

  /** The answer of a call that the body makes, while the iommufd is open. */
  #answer<Result>(body: () => Result): Result | Errno {
    this.assertOpen();
    return answer(body);
  }

  /** The same of an ioctl that not every release has. */
  #young<Result>(ioctl: IommufdCall, body: () => Result): Result | Errno {
    return this.#answer(() => {
      if (!this.#release.supports(ioctl)) throw new Refusal("ENOTTY");
      return body();
    });
  }

  /** @throws IommufdError ERR_IOMMUFD_CLOSED */
  assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the iommufd is closed");
  }
}
