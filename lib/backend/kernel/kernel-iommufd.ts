/** An open /dev/iommu: the addon's methods, as objects call them. */

import { invalidType } from "../../errors.ts";
import { type HwInfo, IOMMU_HWPT_DATA_NONE } from "../../uapi.ts";
import type { RawIommufdFile } from "../raw.ts";
import type {
  HwptAllocRequest,
  IoasCopyRequest,
  IoasMapFileRequest,
  IoasMapManyRequest,
} from "../requests.ts";
import type { NativeIommufdFile } from "./addon.ts";
import { KernelFaultQueueFile, KernelVeventQueueFile } from "./kernel-event-file.ts";
import { nativeMemory } from "./kernel-memory.ts";
import { KernelRegion } from "./kernel-region.ts";

const NO_DATA = { type: IOMMU_HWPT_DATA_NONE, bytes: new Uint8Array(0) } as const;

const natives = new WeakMap<RawIommufdFile, NativeIommufdFile>();

/** The addon's object of an iommufd. */
export function nativeIommufd(file: RawIommufdFile): NativeIommufdFile {
  const native = natives.get(file);
  if (native === undefined) throw invalidType("iommufd", "an iommufd of the kernel backend", file);
  return native;
}

/** An iommufd of the kernel backend. */
export function kernelIommufd(native: NativeIommufdFile): RawIommufdFile {
  const methods = native.bound();
  let hwInfo = new HwInfoAnswer(0);

  const file: RawIommufdFile = {
    ...methods,

    supports: ({ number }) => methods.supports(number),
    ioasAllowIovas(ioasId, ranges) {
      const values = BigUint64Array.from(ranges.flatMap(({ start, last }) => [start, last]));
      return methods.ioasAllowIovas(ioasId, values);
    },
    ioasCopy: (request) => methods.ioasCopy(...copyArguments(request)),
    ioasCopySync: (request) => methods.ioasCopySync(...copyArguments(request)),
    ioasMap: ({ ioasId, flags, memory, offset, length, iova }) =>
      methods.ioasMap(ioasId, flags, nativeMemory(memory), offset, length, iova),
    ioasMapSync: ({ ioasId, flags, memory, offset, length, iova }) =>
      methods.ioasMapSync(ioasId, flags, nativeMemory(memory), offset, length, iova),
    ioasMapMany: (request) => methods.ioasMapMany(...mapManyArguments(request)),
    ioasMapManySync: (request) => methods.ioasMapManySync(...mapManyArguments(request)),
    ioasMapFile: (request) => methods.ioasMapFile(...mapFileArguments(request)),
    ioasMapFileSync: (request) => methods.ioasMapFileSync(...mapFileArguments(request)),
    option: ({ optionId, op, objectId, value }) => methods.option(optionId, op, objectId, value),
    hwptAlloc: (request) => methods.hwptAlloc(...hwptArguments(request)),
    hwptAllocSync: (request) => methods.hwptAllocSync(...hwptArguments(request)),
    hwptGetDirtyBitmap: ({ hwptId, flags, iova, length, pageSize }) =>
      methods.hwptGetDirtyBitmap(hwptId, flags, iova, length, pageSize),
    hwptGetDirtyBitmapSync: ({ hwptId, flags, iova, length, pageSize }) =>
      methods.hwptGetDirtyBitmapSync(hwptId, flags, iova, length, pageSize),
    hwptInvalidate: ({ id, dataType, entryLength, count, entries }) =>
      methods.hwptInvalidate(id, dataType, entryLength, count, entries),

    getHwInfo(deviceId, capacity, type) {
      // One is slow to make, and what is used of it is copied.
      if (hwInfo.capacity !== capacity) hwInfo = new HwInfoAnswer(capacity);
      const errno = methods.getHwInfo(deviceId, hwInfo.buffer, type);
      return errno < 0 ? errno : hwInfo.read();
    },

    faultQueueAlloc() {
      const queue = methods.faultQueueAlloc();
      return typeof queue === "number" ? queue : new KernelFaultQueueFile(queue);
    },
    viommuAlloc: ({ deviceId, hwptId, type, bytes }) => methods.viommuAlloc(deviceId, hwptId, type, bytes),
    veventqAlloc(viommuId, type, depth) {
      const queue = methods.veventqAlloc(viommuId, type, depth);
      return typeof queue === "number" ? queue : new KernelVeventQueueFile(queue);
    },
    hwQueueAlloc: ({ viommuId, type, index, iova, length }) =>
      methods.hwQueueAlloc(viommuId, type, index, iova, length),

    mapRegion(position, length) {
      const region = methods.mapRegion(position, length);
      return typeof region === "number" ? region : new KernelRegion(region);
    },
  };
  natives.set(file, native);
  return file;
}

/** The buffer for the answer of IOMMU_GET_HW_INFO: four words of 64 bits, then the data. */
class HwInfoAnswer {
  readonly capacity: number;
  readonly buffer: ArrayBuffer;
  readonly #values: BigUint64Array;
  /** The lower halves of the words are at even places: all that is not 64 bits wide, read without a bigint. */
  readonly #halves: Uint32Array;
  readonly #data: Uint8Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.buffer = new ArrayBuffer(32 + capacity);
    this.#values = new BigUint64Array(this.buffer, 0, 4);
    this.#halves = new Uint32Array(this.buffer, 0, 8);
    this.#data = new Uint8Array(this.buffer, 32);
  }

  read(): HwInfo {
    // The kernel answers with the length that it has, which may be more than there was room for.
    const dataLength = this.#halves[2] as number;
    return {
      type: this.#halves[0] as number,
      data: this.#data.slice(0, dataLength),
      dataLength,
      maxPasidLog2: this.#halves[4] as number,
      capabilities: this.#values[3] as bigint,
    };
  }
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
