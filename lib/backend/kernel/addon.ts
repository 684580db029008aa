/**
 * Loads the native addon, and is the only file that does. Its surface is declared here as native/ defines it.
 */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { PACKAGE } from "../../package.ts";
import type {
  DeviceId,
  FaultQueueId,
  HwptId,
  HwQueueId,
  PageFaultRecord,
  VeventQueueId,
  VeventRecord,
  ViommuId,
} from "../../uapi.ts";
import type { IommufdFile, VfioDeviceFile } from "../backend.ts";
import type { Answer, BatchStatus, Errno } from "../raw.ts";
import { loadPrebuilt } from "./prebuilt.ts";

declare const token: unique symbol;

/** A token that stands for memory as an argument, and is found faster. The token keeps the memory alive, too. */
export interface NativeMemoryToken {
  readonly [token]: true;
}

/** native/pages.h */
export interface NativeMemory {
  token(): NativeMemoryToken;
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
  /** native/handle.h: the methods as functions that know whose they are, which makes a call half as long. */
  bound(): Omit<NativeRegion, "bound">;
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

/** Ids are numbers to the addon. */
type Plain<Values extends unknown[]> = {
  [Index in keyof Values]: Values[Index] extends number | undefined
    ? number | Extract<Values[Index], undefined>
    : Values[Index];
};

/** The calls of the addon, as in lib/backend/backend.ts, except for `Own`. */
type Native<File, Own> = Own & {
  [Name in Exclude<keyof File, keyof Own>]: File[Name] extends (...values: infer Values) => infer Result
    ? (...values: Plain<Values>) => Answer<Result>
    : never;
};

/** native/iommufd_file.h */
export type NativeIommufdFile = Native<
  IommufdFile,
  {
    bound(): Omit<NativeIommufdFile, "bound">;
    close(): void;
    fd(): number;
    supports(number: number): boolean | Errno;
    ioasAllowIovas(ioasId: number, ranges: BigUint64Array): undefined | Errno;
    ioasCopy(...request: NativeCopyArguments): Promise<bigint | Errno>;
    ioasCopySync(...request: NativeCopyArguments): bigint | Errno;
    ioasMap(...request: NativeMapArguments): Promise<bigint | Errno>;
    ioasMapSync(...request: NativeMapArguments): bigint | Errno;
    ioasMapMany(...request: NativeMapManyArguments): Promise<BatchStatus>;
    ioasMapManySync(...request: NativeMapManyArguments): BatchStatus;
    ioasMapFile(...request: NativeMapFileArguments): Promise<bigint | Errno>;
    ioasMapFileSync(...request: NativeMapFileArguments): bigint | Errno;
    option(optionId: number, op: number, objectId: number, value: bigint): bigint | Errno;
    /** `answer` gets the type, the length of the data, the width of PASIDs and the capabilities, 64 bits each, then the data. */
    getHwInfo(deviceId: number, answer: ArrayBuffer, type?: number): 0 | Errno;
    hwptAlloc(...request: NativeHwptArguments): Promise<HwptId | Errno>;
    hwptAllocSync(...request: NativeHwptArguments): HwptId | Errno;
    hwptGetDirtyBitmap(...request: NativeBitmapArguments): Promise<Uint8Array | Errno>;
    hwptGetDirtyBitmapSync(...request: NativeBitmapArguments): Uint8Array | Errno;
    hwptInvalidate(
      id: number,
      dataType: number,
      entryLength: number,
      count: number,
      entries: Uint8Array,
    ): BatchStatus;
    faultQueueAlloc(): NativeQueue<FaultQueueId> | Errno;
    viommuAlloc(
      deviceId: number,
      hwptId: number,
      type: number,
      data: Uint8Array,
    ): { id: ViommuId; data: Uint8Array } | Errno;
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
>;

type NativeMapArguments = [
  ioasId: number,
  flags: number,
  memory: NativeMemory | NativeMemoryToken,
  offset: bigint,
  length: bigint,
  iova: bigint,
];

type NativeMapManyArguments = [
  ioasId: number,
  flags: number,
  memory: NativeMemory | NativeMemoryToken,
  iovas: BigUint64Array,
  offsets: BigUint64Array,
  lengths: BigUint64Array,
  rollBack: boolean,
];

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
export type NativeVfioDeviceFile = Native<
  VfioDeviceFile,
  {
    bound(): Omit<NativeVfioDeviceFile, "bound">;
    close(): void;
    fd(): number;
    bindIommufd(iommufd: NativeIommufdFile): DeviceId | Errno;
    setIrqs(
      index: number,
      action: number,
      start: number,
      count: number,
      eventfds: readonly NativeEventFile[],
    ): undefined | Errno;
    mapRegion(position: bigint, length: bigint, writable: boolean): NativeRegion | Errno;
  }
>;

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
 * The addon: the one that comes with the package, or if none fits, the local build.
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
      module_root: fileURLToPath(PACKAGE),
    });
  } catch (error) {
    if (unfit === undefined) throw error;
    throw new Error(`that of the package: ${(unfit as Error).message}; none was built here`, {
      cause: error,
    });
  }
}
