/**
 * Loads the native addon, and is the only file that does. Its surface is declared here as native/ defines it.
 */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type {
  DeviceId,
  FaultQueueId,
  HwptId,
  HwQueueId,
  IoasId,
  IovaRanges,
  PageFaultRecord,
  VdeviceId,
  VeventQueueId,
  VeventRecord,
  VfioDeviceInfo,
  VfioIrqInfo,
  VfioRegionInfo,
  ViommuId,
} from "../../uapi.ts";
import { loadPrebuilt } from "./prebuilt.ts";

/** A refused call yields a negative Linux error number in place of its result. */
export type Errno = number;

/** native/pages.h */
export interface NativeMemory {
  buffer(): ArrayBuffer;
  fd(): number | Errno;
  prefault(): Promise<undefined | Errno>;
  prefaultSync(): undefined | Errno;
  close(): void;
}

/** native/pages.h */
export interface NativeRegion {
  buffer(): ArrayBuffer;
  readUint32(offset: bigint): number;
  readUint64(offset: bigint): bigint;
  writeUint32(offset: bigint, value: number): Errno;
  writeUint64(offset: bigint, value: bigint): Errno;
  close(): void;
}

/** native/event_file.h */
export interface NativeEventFile {
  close(): void;
  fd(): number;
  readable(): Promise<boolean> | Errno;
  readFaults(count: number): PageFaultRecord[] | Errno;
  respondToFault(cookie: number, code: number): undefined | Errno;
  readEvents(dataLength: number, count: number): VeventRecord[] | Errno;
  readCount(): bigint | Errno;
}

/** A queue of events that the kernel has made. */
export interface NativeQueue<Id> {
  id: Id;
  file: NativeEventFile;
}

/** native/iommufd_file.h */
export interface NativeIommufdFile {
  close(): void;
  fd(): number;
  knows(number: number): boolean | Errno;
  destroy(id: number): undefined | Errno;
  option(optionId: number, op: number, objectId: number, value: bigint): bigint | Errno;
  vfioIoas(op: number, ioasId: number): IoasId | Errno;
  ioasAlloc(): IoasId | Errno;
  ioasAllowIovas(ioasId: number, ranges: BigUint64Array): undefined | Errno;
  ioasChangeProcess(): undefined | Errno;
  ioasCopy(...request: NativeCopyArguments): Promise<bigint | Errno>;
  ioasCopySync(...request: NativeCopyArguments): bigint | Errno;
  ioasIovaRanges(ioasId: number): IovaRanges | Errno;
  ioasMap(...request: NativeMapArguments): Promise<bigint | Errno>;
  ioasMapSync(...request: NativeMapArguments): bigint | Errno;
  ioasMapMany(...request: NativeMapManyArguments): Promise<NativeOutcome>;
  ioasMapManySync(...request: NativeMapManyArguments): NativeOutcome;
  ioasUnmapMany(ioasId: number, iovas: BigUint64Array, lengths: BigUint64Array): Promise<NativeOutcome>;
  ioasUnmapManySync(ioasId: number, iovas: BigUint64Array, lengths: BigUint64Array): NativeOutcome;
  ioasMapFile(...request: NativeMapFileArguments): Promise<bigint | Errno>;
  ioasMapFileSync(...request: NativeMapFileArguments): bigint | Errno;
  ioasUnmap(ioasId: number, iova: bigint, length: bigint): Promise<bigint | Errno>;
  ioasUnmapSync(ioasId: number, iova: bigint, length: bigint): bigint | Errno;
  /** `out` gets the type, the length of the data, the width of PASIDs and the capabilities. */
  getHwInfo(deviceId: number, target: Uint8Array, out: BigUint64Array, type?: number): 0 | Errno;
  hwptAlloc(...request: NativeHwptArguments): Promise<HwptId | Errno>;
  hwptAllocSync(...request: NativeHwptArguments): HwptId | Errno;
  hwptSetDirtyTracking(hwptId: number, enabled: boolean): undefined | Errno;
  hwptGetDirtyBitmap(...request: NativeBitmapArguments): Promise<Uint8Array | Errno>;
  hwptGetDirtyBitmapSync(...request: NativeBitmapArguments): Uint8Array | Errno;
  hwptInvalidate(
    id: number,
    dataType: number,
    entryLength: number,
    count: number,
    entries: Uint8Array,
  ): NativeOutcome;
  faultQueueAlloc(): NativeQueue<FaultQueueId> | Errno;
  viommuAlloc(
    deviceId: number,
    hwptId: number,
    type: number,
    data: Uint8Array,
  ): { id: ViommuId; data: Uint8Array } | Errno;
  vdeviceAlloc(viommuId: number, deviceId: number, virtId: bigint): VdeviceId | Errno;
  veventqAlloc(viommuId: number, type: number, depth: number): NativeQueue<VeventQueueId> | Errno;
  hwQueueAlloc(
    viommuId: number,
    type: number,
    index: number,
    iova: bigint,
    length: bigint,
  ): HwQueueId | Errno;
  mapRegion(position: bigint, length: bigint): NativeRegion | Errno;
}

type NativeMapArguments = [
  ioasId: number,
  flags: number,
  memory: NativeMemory,
  offset: bigint,
  length: bigint,
  iova: bigint,
];

type NativeMapManyArguments = [
  ioasId: number,
  flags: number,
  memory: NativeMemory,
  iovas: BigUint64Array,
  offsets: BigUint64Array,
  lengths: BigUint64Array,
  rollBack: boolean,
];

/** How many were handled, and 0 or the -errno of the one that was refused. */
export interface NativeOutcome {
  done: number;
  status: number;
}

type NativeMapFileArguments = [
  ioasId: number,
  flags: number,
  fd: number,
  start: bigint,
  length: bigint,
  iova: bigint,
];

type NativeCopyArguments = [
  destinationId: number,
  sourceId: number,
  flags: number,
  length: bigint,
  destinationIova: bigint,
  sourceIova: bigint,
];

type NativeBitmapArguments = [hwptId: number, flags: number, iova: bigint, length: bigint, pageSize: bigint];

type NativeHwptArguments = [
  deviceId: number,
  ptId: number,
  flags: number,
  faultId: number,
  dataType: number,
  data: Uint8Array,
];

/** native/vfio_device_file.h */
export interface NativeVfioDeviceFile {
  fd(): number;
  close(): void;
  bindIommufd(iommufd: NativeIommufdFile): DeviceId | Errno;
  attachIommufdPt(ptId: number, pasid?: number): Promise<HwptId | Errno>;
  attachIommufdPtSync(ptId: number, pasid?: number): HwptId | Errno;
  detachIommufdPt(pasid?: number): undefined | Errno;
  getInfo(): VfioDeviceInfo | Errno;
  getRegionInfo(index: number): VfioRegionInfo | Errno;
  getIrqInfo(index: number): VfioIrqInfo | Errno;
  setIrqs(
    index: number,
    action: number,
    start: number,
    count: number,
    eventfds: readonly NativeEventFile[],
  ): undefined | Errno;
  reset(): undefined | Errno;
  feature(flags: number, data: Uint8Array): Uint8Array | Errno;
  exportDmaBuf(regionIndex: number, ranges: BigUint64Array): NativeDmaBuf | Errno;
  startDmaLogging(pageSize: bigint, ranges: BigUint64Array): bigint | Errno;
  reportDmaLogging(iova: bigint, length: bigint, pageSize: bigint): Uint8Array | Errno;
  read(position: bigint, target: Uint8Array): number | Errno;
  write(position: bigint, source: Uint8Array): number | Errno;
  mapRegion(position: bigint, length: bigint, writable: boolean): NativeRegion | Errno;
}

/** native/dma_buf.h */
interface NativeDmaBuf {
  close(): void;
  fd(): number;
}

/** native/descriptor_list.h */
export interface NativeDescriptorList {
  close(): void;
}

/** native/unix_socket.h */
export interface NativeUnixSocket {
  close(): void;
  accept(): NativeUnixSocket | Errno;
  send(bytes: Uint8Array, descriptors?: NativeDescriptorList): number | Errno;
  receive(capacity: number): { data: Uint8Array; fds: number[] } | Errno;
  readable(): Promise<boolean> | Errno;
  writable(): Promise<boolean> | Errno;
}

/** native/addon.cc */
export interface Addon {
  /** Size of a page in bytes. */
  readonly pageSize: number;
  allocMemory(length: bigint, pageSize: bigint, anonymous: boolean): NativeMemory | Errno;
  createEventFd(): NativeEventFile | Errno;
  duplicateDescriptors(fds: readonly number[]): NativeDescriptorList | Errno;
  connectUnixSocket(path: string): NativeUnixSocket | Errno;
  listenUnixSocket(path: string): NativeUnixSocket | Errno;
  openIommufd(path: string): NativeIommufdFile | Errno;
  openIommufdFd(fd: number): NativeIommufdFile | Errno;
  openVfioDeviceFd(fd: number): NativeVfioDeviceFile | Errno;
  openVfioDevice(path: string): NativeVfioDeviceFile | Errno;
}

let loaded: Addon | undefined;

/**
 * The addon: the one that comes with the package, or where there is none that fits, that which was built here.
 *
 * @throws Error with the loader's own explanation, where there is neither
 */
export function loadAddon(): Addon {
  if (loaded === undefined) {
    let unfit: unknown;
    try {
      loaded = loadPrebuilt() as Addon | undefined;
    } catch (error) {
      unfit = error;
    }
    loaded ??= loadBuilt(unfit);
  }
  return loaded;
}

/** @param unfit why the addon of the package does not load, where there is one */
function loadBuilt(unfit: unknown): Addon {
  const require = createRequire(import.meta.url);
  const bindings = require("bindings") as (options: { bindings: string; module_root: string }) => Addon;
  try {
    return bindings({
      bindings: "iommufd",
      module_root: fileURLToPath(new URL("../../..", import.meta.url)),
    });
  } catch (error) {
    if (unfit === undefined) throw error;
    throw new Error(`that of the package: ${(unfit as Error).message}; none was built here`, {
      cause: error,
    });
  }
}
