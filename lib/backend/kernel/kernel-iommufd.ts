/** An open /dev/iommu: one method per ioctl, each telling what was asked where it is refused. */

import { systemError } from "../../errors.ts";
import {
  type DeviceId,
  type HwInfo,
  type HwptId,
  type HwQueueId,
  IOMMU_HWPT_DATA_NONE,
  type IoasId,
  type IovaRange,
  type IovaRanges,
  type ObjectId,
  type VdeviceId,
  type ViommuId,
} from "../../uapi.ts";
import type { IommufdFile, IommufdIoctl } from "../backend.ts";
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
import type { Errno, NativeIommufdFile, NativeOutcome } from "./addon.ts";
import { check } from "./check.ts";
import { KernelFaultQueueFile, KernelVeventQueueFile } from "./kernel-event-file.ts";
import { nativeMemory } from "./kernel-memory.ts";
import { KernelRegion } from "./kernel-region.ts";

/** Numbers of the ioctls (include/uapi/linux/iommufd.h, IOMMUFD_CMD_*). */
const IOCTL_NUMBERS: Readonly<Record<IommufdIoctl, number>> = {
  destroy: 0x80,
  ioasAlloc: 0x81,
  ioasAllowIovas: 0x82,
  ioasCopy: 0x83,
  ioasIovaRanges: 0x84,
  ioasMap: 0x85,
  ioasUnmap: 0x86,
  option: 0x87,
  vfioIoas: 0x88,
  hwptAlloc: 0x89,
  getHwInfo: 0x8a,
  hwptSetDirtyTracking: 0x8b,
  hwptGetDirtyBitmap: 0x8c,
  hwptInvalidate: 0x8d,
  faultQueueAlloc: 0x8e,
  ioasMapFile: 0x8f,
  viommuAlloc: 0x90,
  vdeviceAlloc: 0x91,
  ioasChangeProcess: 0x92,
  veventqAlloc: 0x93,
  hwQueueAlloc: 0x94,
};

const NO_DATA = { type: IOMMU_HWPT_DATA_NONE, bytes: new Uint8Array(0) } as const;

/** One argument object per call, so that a refused call tells what was asked. */
export class KernelIommufdFile implements IommufdFile {
  readonly native: NativeIommufdFile;
  /** What IOMMU_GET_HW_INFO answers in, apart from the data. */
  readonly #hwInfo = new BigUint64Array(4);
  /** Its lower halves are at even places: all that is not 64 bits wide, read without a bigint. */
  readonly #hwInfoWords = new Uint32Array(this.#hwInfo.buffer);
  #hwInfoData = new Uint8Array(0);

  constructor(native: NativeIommufdFile) {
    this.native = native;
  }

  fd(): number {
    return this.native.fd();
  }

  supports(ioctl: IommufdIoctl): boolean {
    return check(this.native.knows(IOCTL_NUMBERS[ioctl]), "ioctl", { number: IOCTL_NUMBERS[ioctl] });
  }

  destroy(id: ObjectId): void {
    check(this.native.destroy(id), "IOMMU_DESTROY", { id });
  }

  ioasAlloc(): IoasId {
    return check(this.native.ioasAlloc(), "IOMMU_IOAS_ALLOC");
  }

  ioasAllowIovas(ioasId: IoasId, ranges: readonly IovaRange[]): void {
    const values = BigUint64Array.from(ranges.flatMap(({ start, last }) => [start, last]));
    check(this.native.ioasAllowIovas(ioasId, values), "IOMMU_IOAS_ALLOW_IOVAS", { ioasId });
  }

  ioasChangeProcess(): void {
    check(this.native.ioasChangeProcess(), "IOMMU_IOAS_CHANGE_PROCESS");
  }

  async ioasCopy(request: IoasCopyRequest): Promise<bigint> {
    return copied(await this.native.ioasCopy(...copyArguments(request)), request);
  }

  ioasCopySync(request: IoasCopyRequest): bigint {
    return copied(this.native.ioasCopySync(...copyArguments(request)), request);
  }

  ioasIovaRanges(ioasId: IoasId): IovaRanges {
    return check(this.native.ioasIovaRanges(ioasId), "IOMMU_IOAS_IOVA_RANGES", { ioasId });
  }

  async ioasMap(request: IoasMapRequest): Promise<bigint> {
    const { ioasId, flags, memory, offset, length, iova } = request;
    const native = nativeMemory(memory);
    return mapped(await this.native.ioasMap(ioasId, flags, native, offset, length, iova), request);
  }

  ioasMapSync(request: IoasMapRequest): bigint {
    const { ioasId, flags, memory, offset, length, iova } = request;
    const native = nativeMemory(memory);
    return mapped(this.native.ioasMapSync(ioasId, flags, native, offset, length, iova), request);
  }

  async ioasMapMany(request: IoasMapManyRequest): Promise<BatchOutcome> {
    return mappedMany(await this.native.ioasMapMany(...mapManyArguments(request)), request);
  }

  ioasMapManySync(request: IoasMapManyRequest): BatchOutcome {
    return mappedMany(this.native.ioasMapManySync(...mapManyArguments(request)), request);
  }

  async ioasUnmapMany(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): Promise<BatchOutcome> {
    return unmappedMany(await this.native.ioasUnmapMany(ioasId, iovas, lengths), ioasId, iovas, lengths);
  }

  ioasUnmapManySync(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): BatchOutcome {
    return unmappedMany(this.native.ioasUnmapManySync(ioasId, iovas, lengths), ioasId, iovas, lengths);
  }

  async ioasMapFile(request: IoasMapFileRequest): Promise<bigint> {
    return mappedFile(await this.native.ioasMapFile(...mapFileArguments(request)), request);
  }

  ioasMapFileSync(request: IoasMapFileRequest): bigint {
    return mappedFile(this.native.ioasMapFileSync(...mapFileArguments(request)), request);
  }

  option({ optionId, op, objectId, value }: OptionRequest): bigint {
    return check(this.native.option(optionId, op, objectId, value), "IOMMU_OPTION", {
      optionId,
      op,
      objectId,
      value,
    });
  }

  vfioIoas(op: number, ioasId: IoasId | 0): IoasId {
    return check(this.native.vfioIoas(op, ioasId), "IOMMU_VFIO_IOAS", { op, ioasId });
  }

  async ioasUnmap(ioasId: IoasId, iova: bigint, length: bigint): Promise<bigint> {
    return unmapped(await this.native.ioasUnmap(ioasId, iova, length), ioasId, iova, length);
  }

  ioasUnmapSync(ioasId: IoasId, iova: bigint, length: bigint): bigint {
    return unmapped(this.native.ioasUnmapSync(ioasId, iova, length), ioasId, iova, length);
  }

  async hwptAlloc(request: HwptAllocRequest): Promise<HwptId> {
    return allocated(await this.native.hwptAlloc(...hwptArguments(request)), request);
  }

  hwptAllocSync(request: HwptAllocRequest): HwptId {
    return allocated(this.native.hwptAllocSync(...hwptArguments(request)), request);
  }

  hwptSetDirtyTracking(hwptId: HwptId, enabled: boolean): void {
    check(this.native.hwptSetDirtyTracking(hwptId, enabled), "IOMMU_HWPT_SET_DIRTY_TRACKING", {
      hwptId,
      enabled,
    });
  }

  async hwptGetDirtyBitmap(request: DirtyBitmapRequest): Promise<Uint8Array> {
    const outcome = await this.native.hwptGetDirtyBitmap(...bitmapArguments(request));
    return check(outcome, "IOMMU_HWPT_GET_DIRTY_BITMAP", { ...request });
  }

  hwptGetDirtyBitmapSync(request: DirtyBitmapRequest): Uint8Array {
    const outcome = this.native.hwptGetDirtyBitmapSync(...bitmapArguments(request));
    return check(outcome, "IOMMU_HWPT_GET_DIRTY_BITMAP", { ...request });
  }

  hwptInvalidate({ id, dataType, entryLength, count, entries }: InvalidateRequest): BatchOutcome {
    const { done, status } = this.native.hwptInvalidate(id, dataType, entryLength, count, entries);
    if (status >= 0) return { done };
    return { done, error: systemError(status, "IOMMU_HWPT_INVALIDATE", { id, dataType, index: done }) };
  }

  getHwInfo(deviceId: DeviceId, capacity: number, type?: number): HwInfo {
    // An array of that size is slow to make, and what is used of it is copied.
    if (this.#hwInfoData.length !== capacity) this.#hwInfoData = new Uint8Array(capacity);
    const target = this.#hwInfoData;
    const out = this.#hwInfo;
    const outcome = this.native.getHwInfo(deviceId, target, out, type);
    if (outcome < 0) throw systemError(outcome, "IOMMU_GET_HW_INFO", { deviceId, type });
    // The kernel answers with the length that it has, which may be more than there was room for.
    const words = this.#hwInfoWords;
    const dataLength = words[2] as number;
    return {
      type: words[0] as number,
      data: target.slice(0, dataLength),
      dataLength,
      maxPasidLog2: words[4] as number,
      capabilities: out[3] as bigint,
    };
  }

  faultQueueAlloc(): FaultQueueFile {
    return new KernelFaultQueueFile(check(this.native.faultQueueAlloc(), "IOMMU_FAULT_QUEUE_ALLOC"));
  }

  viommuAlloc({ deviceId, hwptId, data }: ViommuAllocRequest): { id: ViommuId; data: Uint8Array } {
    const outcome = this.native.viommuAlloc(deviceId, hwptId, data.type, data.bytes);
    return check(outcome, "IOMMU_VIOMMU_ALLOC", { deviceId, hwptId, type: data.type });
  }

  vdeviceAlloc(viommuId: ViommuId, deviceId: DeviceId, virtId: bigint): VdeviceId {
    const outcome = this.native.vdeviceAlloc(viommuId, deviceId, virtId);
    return check(outcome, "IOMMU_VDEVICE_ALLOC", { viommuId, deviceId, virtId });
  }

  veventqAlloc(viommuId: ViommuId, type: number, depth: number): VeventQueueFile {
    const outcome = this.native.veventqAlloc(viommuId, type, depth);
    return new KernelVeventQueueFile(check(outcome, "IOMMU_VEVENTQ_ALLOC", { viommuId, type, depth }));
  }

  hwQueueAlloc(request: HwQueueAllocRequest): HwQueueId {
    const { viommuId, type, index, iova, length } = request;
    const outcome = this.native.hwQueueAlloc(viommuId, type, index, iova, length);
    return check(outcome, "IOMMU_HW_QUEUE_ALLOC", { ...request });
  }

  mapRegion(position: bigint, length: bigint): BackendRegion {
    const outcome = this.native.mapRegion(position, length);
    return new KernelRegion(check(outcome, "mmap", { position, length }));
  }

  close(): void {
    this.native.close();
  }
}

/** On the path of every mapping: what was asked is put together where it is told only. */
function mapped(outcome: bigint | Errno, request: IoasMapRequest): bigint {
  if (typeof outcome === "bigint") return outcome;
  const { ioasId, flags, offset, length, iova } = request;
  throw systemError(outcome, "IOMMU_IOAS_MAP", { ioasId, flags, iova, length, offset });
}

function mapManyArguments(request: IoasMapManyRequest): Parameters<NativeIommufdFile["ioasMapManySync"]> {
  const { ioasId, flags, memory, iovas, offsets, lengths, rollBack } = request;
  return [ioasId, flags, nativeMemory(memory), iovas, offsets, lengths, rollBack];
}

function mappedMany({ done, status }: NativeOutcome, request: IoasMapManyRequest): BatchOutcome {
  if (status >= 0) return { done };
  const { ioasId, flags, iovas, offsets, lengths } = request;
  const refused = {
    index: done,
    ioasId,
    flags,
    iova: iovas[done],
    length: lengths[done],
    offset: offsets[done],
  };
  return { done, error: systemError(status, "IOMMU_IOAS_MAP", refused) };
}

function unmappedMany(
  { done, status }: NativeOutcome,
  ioasId: IoasId,
  iovas: BigUint64Array,
  lengths: BigUint64Array,
): BatchOutcome {
  if (status >= 0) return { done };
  const refused = { index: done, ioasId, iova: iovas[done], length: lengths[done] };
  return { done, error: systemError(status, "IOMMU_IOAS_UNMAP", refused) };
}

function mapFileArguments(request: IoasMapFileRequest): Parameters<NativeIommufdFile["ioasMapFileSync"]> {
  const { ioasId, flags, file, start, length, iova } = request;
  return [ioasId, flags, typeof file === "number" ? file : file.fd(), start, length, iova];
}

function mappedFile(
  outcome: bigint | Errno,
  { ioasId, flags, file, start, length, iova }: IoasMapFileRequest,
): bigint {
  const fd = typeof file === "number" ? file : undefined;
  return check(outcome, "IOMMU_IOAS_MAP_FILE", { ioasId, flags, fd, start, length, iova });
}

function copyArguments(request: IoasCopyRequest): Parameters<NativeIommufdFile["ioasCopySync"]> {
  const { destinationId, sourceId, flags, length, destinationIova, sourceIova } = request;
  return [destinationId, sourceId, flags, length, destinationIova, sourceIova];
}

function copied(outcome: bigint | Errno, request: IoasCopyRequest): bigint {
  return check(outcome, "IOMMU_IOAS_COPY", { ...request });
}

function unmapped(outcome: bigint | Errno, ioasId: IoasId, iova: bigint, length: bigint): bigint {
  if (typeof outcome === "bigint") return outcome;
  throw systemError(outcome, "IOMMU_IOAS_UNMAP", { ioasId, iova, length });
}

function bitmapArguments(
  request: DirtyBitmapRequest,
): Parameters<NativeIommufdFile["hwptGetDirtyBitmapSync"]> {
  const { hwptId, flags, iova, length, pageSize } = request;
  return [hwptId, flags, iova, length, pageSize];
}

function hwptArguments(request: HwptAllocRequest): Parameters<NativeIommufdFile["hwptAllocSync"]> {
  const { deviceId, ptId, flags, faultId, data = NO_DATA } = request;
  return [deviceId, ptId, flags, faultId ?? 0, data.type, data.bytes];
}

function allocated(outcome: HwptId | Errno, { deviceId, ptId, flags }: HwptAllocRequest): HwptId {
  return check(outcome, "IOMMU_HWPT_ALLOC", { deviceId, ptId, flags });
}
