/**
 * The interface of a backend: one method per ioctl, the same on the kernel and on the model of it.
 *
 * Methods take what the kernel's structures take and throw a `SystemError` where it refuses. Methods that can pin
 * memory or walk page tables for long are asynchronous and have a `…Sync` twin, as in `node:fs`.
 * This interface is for the objects in `lib/iommufd`; programs use these objects.
 */

import type {
  DeviceId,
  HwInfo,
  HwptId,
  HwQueueId,
  IoasId,
  IovaRange,
  IovaRanges,
  ObjectId,
  PageTableId,
  VdeviceId,
  VfioDeviceInfo,
  VfioIrqInfo,
  VfioRegionInfo,
  ViommuId,
} from "../uapi.ts";
import type {
  BackendMemory,
  BackendRegion,
  DescriptorFile,
  EventFd,
  FaultQueueFile,
  VeventQueueFile,
} from "./handles.ts";
import type { IommufdIoctl } from "./ioctl.ts";
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
  MemoryRequest,
  OptionRequest,
  SetIrqsRequest,
  ViommuAllocRequest,
} from "./requests.ts";

/** Which of the two a backend is. */
export type BackendName = "kernel" | "software";

/** A way to reach an iommufd. */
export interface Backend {
  /** Which one. */
  readonly name: BackendName;
  /** Name of the profile of the machine that is modelled; undefined of the kernel. */
  readonly profile: string | undefined;
  /** RLIMIT_MEMLOCK of the modelled machine, in bytes; undefined of the kernel, and where the profile has no limit. */
  readonly memlock: bigint | undefined;
  /** The release of Linux that answers, or that is modelled: "6.12.48-amd64". */
  readonly kernelRelease: string;
  /** Size of the pages that memory is made of, in bytes. */
  readonly pageSize: number;
  /** Opens an iommufd (/dev/iommu). */
  openIommufd(): IommufdFile;
  /** Opens one on a duplicate of a descriptor; the software backend has none. */
  openIommufdFd(fd: number): IommufdFile;
  /** The PCI addresses of the devices that VFIO drives, in ascending order. */
  vfioDevices(): string[];
  /**
   * Finds one device.
   *
   * @param bdf its PCI address in full, "0000:6a:01.0"
   * @throws IommufdError ERR_IOMMUFD_NO_DEVICE: there is none, or it is not bound to vfio-pci
   */
  findVfioDevice(bdf: string): VfioDeviceEntry;
  /**
   * The users of a device and its IOMMU group, as far as this process may see; undefined for a model, which does not know.
   */
  deviceUse(bdf: string): DeviceUse | undefined;
  /** Opens a VFIO device by its character device. */
  openVfioDevice(cdev: string): VfioDeviceFile;
  /** Opens one on a duplicate of a descriptor; the software backend has none. */
  openVfioDeviceFd(fd: number): VfioDeviceFile;
  /** Allocates page-aligned memory. */
  allocMemory(request: MemoryRequest): BackendMemory;
  /** Makes an eventfd, which interrupts are signalled through. */
  createEventFd(): EventFd;
}

/** A device that VFIO offers to user space. */
export interface VfioDeviceEntry {
  /** PCI address: domain, bus, device, function ("0000:6a:01.0"). */
  bdf: string;
  /** Path of its character device ("/dev/vfio/devices/vfio0"). */
  cdev: string;
  /** Number of its IOMMU group; undefined if it is unknown. */
  group?: number | undefined;
}

/** A process that has a file open. */
export interface DeviceUser {
  readonly pid: number;
  /** The first 15 characters of its name (/proc/PID/comm). */
  readonly name: string;
}

/** The users of a device and its IOMMU group. No users: none that this process may see. */
export interface DeviceUse {
  /** The processes that have its character device open. */
  readonly users: readonly DeviceUser[];
  /** The older interface of VFIO to its IOMMU group; undefined where it is in none. */
  readonly groupFile: { readonly path: string; readonly users: readonly DeviceUser[] } | undefined;
  /** The others of its IOMMU group; undefined where it is in none. */
  readonly mates:
    | readonly {
        readonly bdf: string;
        /** The driver that has it for the kernel itself; undefined where there is none, or one of VFIO. */
        readonly driver: string | undefined;
        readonly users: readonly DeviceUser[];
      }[]
    | undefined;
}

/** An open iommufd. */
export interface IommufdFile {
  /** The descriptor; it stays this file's to close. */
  fd(): number;
  /** Whether the kernel supports an ioctl. One that it does not know answers ENOTTY. */
  supports(ioctl: IommufdIoctl): boolean;
  /** IOMMU_DESTROY */
  destroy(id: ObjectId): void;
  /** IOMMU_IOAS_ALLOC */
  ioasAlloc(): IoasId;
  /** IOMMU_IOAS_ALLOW_IOVAS */
  ioasAllowIovas(ioasId: IoasId, ranges: readonly IovaRange[]): void;
  /** IOMMU_IOAS_CHANGE_PROCESS */
  ioasChangeProcess(): void;
  /** IOMMU_IOAS_COPY; resolves to the IOVA in the destination. */
  ioasCopy(request: IoasCopyRequest): Promise<bigint>;
  /** IOMMU_IOAS_COPY; returns the IOVA in the destination. */
  ioasCopySync(request: IoasCopyRequest): bigint;
  /** IOMMU_IOAS_IOVA_RANGES */
  ioasIovaRanges(ioasId: IoasId): IovaRanges;
  /** IOMMU_IOAS_MAP; resolves to the IOVA. */
  ioasMap(request: IoasMapRequest): Promise<bigint>;
  /** IOMMU_IOAS_MAP; returns the IOVA. */
  ioasMapSync(request: IoasMapRequest): bigint;
  /** IOMMU_IOAS_MAP, many times, until one is refused. Nothing is mapped where a range is not within the memory: RangeError. */
  ioasMapMany(request: IoasMapManyRequest): Promise<BatchOutcome>;
  /** IOMMU_IOAS_MAP, many times, until one is refused. */
  ioasMapManySync(request: IoasMapManyRequest): BatchOutcome;
  /** IOMMU_IOAS_UNMAP, many times, until one is refused. */
  ioasUnmapMany(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): Promise<BatchOutcome>;
  /** IOMMU_IOAS_UNMAP, many times, until one is refused. */
  ioasUnmapManySync(ioasId: IoasId, iovas: BigUint64Array, lengths: BigUint64Array): BatchOutcome;
  /** IOMMU_IOAS_MAP_FILE; resolves to the IOVA. */
  ioasMapFile(request: IoasMapFileRequest): Promise<bigint>;
  /** IOMMU_IOAS_MAP_FILE; returns the IOVA. */
  ioasMapFileSync(request: IoasMapFileRequest): bigint;
  /** IOMMU_IOAS_UNMAP; resolves to the number of bytes unmapped. */
  ioasUnmap(ioasId: IoasId, iova: bigint, length: bigint): Promise<bigint>;
  /** IOMMU_IOAS_UNMAP; returns the number of bytes unmapped. */
  ioasUnmapSync(ioasId: IoasId, iova: bigint, length: bigint): bigint;
  /** IOMMU_OPTION; returns the value. */
  option(request: OptionRequest): bigint;
  /** IOMMU_VFIO_IOAS, the IOAS of the VFIO compatibility interface; `op` is IOMMU_VFIO_IOAS_*. Returns its id. */
  vfioIoas(op: number, ioasId: IoasId | 0): IoasId;
  /** IOMMU_HWPT_ALLOC */
  hwptAlloc(request: HwptAllocRequest): Promise<HwptId>;
  /** IOMMU_HWPT_ALLOC */
  hwptAllocSync(request: HwptAllocRequest): HwptId;
  /** IOMMU_HWPT_SET_DIRTY_TRACKING */
  hwptSetDirtyTracking(hwptId: HwptId, enabled: boolean): void;
  /** IOMMU_HWPT_GET_DIRTY_BITMAP; resolves to the bitmap, the lowest bit first. */
  hwptGetDirtyBitmap(request: DirtyBitmapRequest): Promise<Uint8Array>;
  /** IOMMU_HWPT_GET_DIRTY_BITMAP; returns the bitmap, the lowest bit first. */
  hwptGetDirtyBitmapSync(request: DirtyBitmapRequest): Uint8Array;
  /** IOMMU_HWPT_INVALIDATE; the error is that of the entry after those done. */
  hwptInvalidate(request: InvalidateRequest): BatchOutcome;
  /**
   * IOMMU_GET_HW_INFO
   *
   * @param capacity the room offered for the vendor's data, in bytes
   * @param type IOMMU_HW_INFO_TYPE_*, for an IOMMU that has more than one (IOMMU_HW_INFO_FLAG_INPUT_TYPE)
   */
  getHwInfo(deviceId: DeviceId, capacity: number, type?: number): HwInfo;
  /** IOMMU_FAULT_QUEUE_ALLOC */
  faultQueueAlloc(): FaultQueueFile;
  /** IOMMU_VIOMMU_ALLOC; also returns the driver's data after the call. */
  viommuAlloc(request: ViommuAllocRequest): { id: ViommuId; data: Uint8Array };
  /** IOMMU_VDEVICE_ALLOC; `virtId` is what the guest calls the device: a stream id, a device id, a BDF. */
  vdeviceAlloc(viommuId: ViommuId, deviceId: DeviceId, virtId: bigint): VdeviceId;
  /** IOMMU_VEVENTQ_ALLOC; `type` is IOMMU_VEVENTQ_TYPE_*, `depth` how many events the kernel keeps. */
  veventqAlloc(viommuId: ViommuId, type: number, depth: number): VeventQueueFile;
  /** IOMMU_HW_QUEUE_ALLOC */
  hwQueueAlloc(request: HwQueueAllocRequest): HwQueueId;
  /** mmap(2) of what a vIOMMU offers. */
  mapRegion(position: bigint, length: bigint): BackendRegion;
  /** Closes the descriptor once no call is running on it. Closing twice is harmless. */
  close(): void;
}

/** An open VFIO device. */
export interface VfioDeviceFile {
  /** The descriptor; it stays this file's to close. */
  fd(): number;
  /** VFIO_DEVICE_BIND_IOMMUFD */
  bindIommufd(iommufd: IommufdFile): DeviceId;
  /** VFIO_DEVICE_ATTACH_IOMMUFD_PT, of the device or of one PASID of it; resolves to the HWPT attached to. */
  attachIommufdPt(ptId: PageTableId, pasid?: number): Promise<HwptId>;
  /** VFIO_DEVICE_ATTACH_IOMMUFD_PT, of the device or of one PASID of it; returns the HWPT attached to. */
  attachIommufdPtSync(ptId: PageTableId, pasid?: number): HwptId;
  /** VFIO_DEVICE_DETACH_IOMMUFD_PT, of the device or of one PASID of it. */
  detachIommufdPt(pasid?: number): void;
  /** VFIO_DEVICE_GET_INFO */
  getInfo(): VfioDeviceInfo;
  /** VFIO_DEVICE_GET_REGION_INFO */
  getRegionInfo(index: number): VfioRegionInfo;
  /** VFIO_DEVICE_GET_IRQ_INFO */
  getIrqInfo(index: number): VfioIrqInfo;
  /** VFIO_DEVICE_SET_IRQS */
  setIrqs(request: SetIrqsRequest): void;
  /** VFIO_DEVICE_RESET */
  reset(): void;
  /** VFIO_DEVICE_FEATURE, of a feature whose data is bytes and nothing else; returns them after the call. */
  feature(flags: number, data: Uint8Array): Uint8Array;
  /** VFIO_DEVICE_FEATURE_DMA_BUF; `ranges` has an offset and a length in turn. */
  exportDmaBuf(regionIndex: number, ranges: BigUint64Array): DescriptorFile;
  /** VFIO_DEVICE_FEATURE_DMA_LOGGING_START; `ranges` has an IOVA and a length in turn. Returns the page size that is used. */
  startDmaLogging(pageSize: bigint, ranges: BigUint64Array): bigint;
  /** VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT; returns the bitmap, the lowest bit first. */
  reportDmaLogging(iova: bigint, length: bigint, pageSize: bigint): Uint8Array;
  /** pread(2); returns how many bytes were read. */
  read(position: bigint, target: Uint8Array): number;
  /** pwrite(2); returns how many bytes were written. */
  write(position: bigint, source: Uint8Array): number;
  /** mmap(2) */
  mapRegion(position: bigint, length: bigint, writable: boolean): BackendRegion;
  /** Closes the descriptor, which unbinds the device. Closing twice is harmless. */
  close(): void;
}
