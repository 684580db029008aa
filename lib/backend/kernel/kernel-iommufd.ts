/** An open /dev/iommu: the addon's methods, as objects call them. */

import { invalidType } from "../../errors.ts";
import { IOMMU_HWPT_DATA_NONE } from "../../uapi.ts";
import type { RawIommufdFile } from "../raw.ts";
import type {
  HwptAllocRequest,
  IoasCopyRequest,
  IoasMapFileRequest,
  IoasMapManyRequest,
} from "../requests.ts";
import type { NativeIommufdFile } from "./addon.ts";
import { bound } from "./bound.ts";
import { KernelFaultQueueFile, KernelVeventQueueFile } from "./kernel-event-file.ts";
import { nativeMemory } from "./kernel-memory.ts";
import { KernelRegion } from "./kernel-region.ts";

const NO_DATA = { type: IOMMU_HWPT_DATA_NONE, bytes: new Uint8Array(0) } as const;

const natives = new WeakMap<RawIommufdFile, NativeIommufdFile>();

/** What the addon has of an iommufd. */
export function nativeIommufd(file: RawIommufdFile): NativeIommufdFile {
  const native = natives.get(file);
  if (native === undefined) throw invalidType("iommufd", "an iommufd of the kernel backend", file);
  return native;
}

/** An iommufd of the kernel backend. */
export function kernelIommufd(native: NativeIommufdFile): RawIommufdFile {
  /** What IOMMU_GET_HW_INFO answers in, apart from the data. */
  const hwInfo = new BigUint64Array(4);
  /** Its lower halves are at even places: all that is not 64 bits wide, read without a bigint. */
  const hwInfoWords = new Uint32Array(hwInfo.buffer);
  let hwInfoData = new Uint8Array(0);

  const file: RawIommufdFile = {
    ...bound(native),

    ioasAllowIovas(ioasId, ranges) {
      const values = BigUint64Array.from(ranges.flatMap(({ start, last }) => [start, last]));
      return native.ioasAllowIovas(ioasId, values);
    },
    ioasCopy: (request) => native.ioasCopy(...copyArguments(request)),
    ioasCopySync: (request) => native.ioasCopySync(...copyArguments(request)),
    ioasMap: ({ ioasId, flags, memory, offset, length, iova }) =>
      native.ioasMap(ioasId, flags, nativeMemory(memory), offset, length, iova),
    ioasMapSync: ({ ioasId, flags, memory, offset, length, iova }) =>
      native.ioasMapSync(ioasId, flags, nativeMemory(memory), offset, length, iova),
    ioasMapMany: (request) => native.ioasMapMany(...mapManyArguments(request)),
    ioasMapManySync: (request) => native.ioasMapManySync(...mapManyArguments(request)),
    ioasMapFile: (request) => native.ioasMapFile(...mapFileArguments(request)),
    ioasMapFileSync: (request) => native.ioasMapFileSync(...mapFileArguments(request)),
    option: ({ optionId, op, objectId, value }) => native.option(optionId, op, objectId, value),
    hwptAlloc: (request) => native.hwptAlloc(...hwptArguments(request)),
    hwptAllocSync: (request) => native.hwptAllocSync(...hwptArguments(request)),
    hwptGetDirtyBitmap: ({ hwptId, flags, iova, length, pageSize }) =>
      native.hwptGetDirtyBitmap(hwptId, flags, iova, length, pageSize),
    hwptGetDirtyBitmapSync: ({ hwptId, flags, iova, length, pageSize }) =>
      native.hwptGetDirtyBitmapSync(hwptId, flags, iova, length, pageSize),
    hwptInvalidate: ({ id, dataType, entryLength, count, entries }) =>
      native.hwptInvalidate(id, dataType, entryLength, count, entries),

    getHwInfo(deviceId, capacity, type) {
      // An array of that size is slow to make, and what is used of it is copied.
      if (hwInfoData.length !== capacity) hwInfoData = new Uint8Array(capacity);
      const errno = native.getHwInfo(deviceId, hwInfoData, hwInfo, type);
      if (errno < 0) return errno;
      // The kernel answers with the length that it has, which may be more than there was room for.
      const dataLength = hwInfoWords[2] as number;
      return {
        type: hwInfoWords[0] as number,
        data: hwInfoData.slice(0, dataLength),
        dataLength,
        maxPasidLog2: hwInfoWords[4] as number,
        capabilities: hwInfo[3] as bigint,
      };
    },

    faultQueueAlloc() {
      const queue = native.faultQueueAlloc();
      return typeof queue === "number" ? queue : new KernelFaultQueueFile(queue);
    },
    viommuAlloc: ({ deviceId, hwptId, type, bytes }) => native.viommuAlloc(deviceId, hwptId, type, bytes),
    veventqAlloc(viommuId, type, depth) {
      const queue = native.veventqAlloc(viommuId, type, depth);
      return typeof queue === "number" ? queue : new KernelVeventQueueFile(queue);
    },
    hwQueueAlloc: ({ viommuId, type, index, iova, length }) =>
      native.hwQueueAlloc(viommuId, type, index, iova, length),

    mapRegion(position, length) {
      const region = native.mapRegion(position, length);
      return typeof region === "number" ? region : new KernelRegion(region);
    },
  };
  natives.set(file, native);
  return file;
}

type Arguments<Name extends keyof NativeIommufdFile> = Parameters<NativeIommufdFile[Name]>;

function copyArguments(request: IoasCopyRequest): Arguments<"ioasCopySync"> {
  const { destinationId, sourceId, flags, length, destinationIova, sourceIova } = request;
  return [destinationId, sourceId, flags, length, destinationIova, sourceIova];
}

function mapManyArguments(request: IoasMapManyRequest): Arguments<"ioasMapManySync"> {
  const { ioasId, flags, memory, iovas, offsets, lengths, rollBack } = request;
  return [ioasId, flags, nativeMemory(memory), iovas, offsets, lengths, rollBack];
}

function mapFileArguments(request: IoasMapFileRequest): Arguments<"ioasMapFileSync"> {
  const { ioasId, flags, file, start, length, iova } = request;
  return [ioasId, flags, typeof file === "number" ? file : file.fd(), start, length, iova];
}

function hwptArguments(request: HwptAllocRequest): Arguments<"hwptAllocSync"> {
  const { deviceId, ptId, flags, faultId, data = NO_DATA } = request;
  return [deviceId, ptId, flags, faultId ?? 0, data.type, data.bytes];
}
