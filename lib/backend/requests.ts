/** The requests of ioctls, and the answers of ioctls that take lists. */

import type { SystemError } from "../errors.ts";
import type { DeviceId, DriverData, FaultQueueId, HwptId, IoasId, PageTableId, ViommuId } from "../uapi.ts";
import type { BackendMemory, DescriptorFile, EventFd } from "./handles.ts";

/** Which memory is wanted. */
export interface MemoryRequest {
  /** In bytes, a multiple of the page size. */
  length: bigint;
  /** Size of its pages in bytes; other than the usual size, of huge pages. */
  pageSize: bigint;
  /** Whether it is memory other than a file. */
  anonymous: boolean;
}

/** struct iommu_ioas_map. */
export interface IoasMapRequest {
  ioasId: IoasId;
  /** IOMMU_IOAS_MAP_* */
  flags: number;
  memory: BackendMemory;
  /** Where in the memory the mapping starts, in bytes. */
  offset: bigint;
  /** In bytes. */
  length: bigint;
  /** Used if IOMMU_IOAS_MAP_FIXED_IOVA is set; otherwise the kernel chooses. */
  iova: bigint;
}

/** Many mappings of one memory. */
export interface IoasMapManyRequest {
  ioasId: IoasId;
  /** IOMMU_IOAS_MAP_*, with FIXED_IOVA. */
  flags: number;
  memory: BackendMemory;
  /** Where each is mapped. */
  iovas: BigUint64Array;
  /** Where in the memory each starts, in bytes. */
  offsets: BigUint64Array;
  /** How long each is, in bytes. */
  lengths: BigUint64Array;
  /** Whether those before one that is refused are unmapped again. */
  rollBack: boolean;
}

/** How a batch ended. */
export interface BatchOutcome {
  /** How many were handled: all, or those before the one that was refused. */
  done: number;
  /** Why one was refused; absent where all were handled. */
  error?: SystemError;
}

/** struct iommu_ioas_map_file. */
export interface IoasMapFileRequest {
  ioasId: IoasId;
  /** IOMMU_IOAS_MAP_* */
  flags: number;
  /** Memory of the same backend, a dma-buf of VFIO, or the descriptor of one or the other. */
  file: BackendMemory | DescriptorFile | number;
  /** Where in the file the mapping starts, in bytes. */
  start: bigint;
  /** In bytes. */
  length: bigint;
  /** Used if IOMMU_IOAS_MAP_FIXED_IOVA is set; otherwise the kernel chooses. */
  iova: bigint;
}

/** struct iommu_ioas_copy. */
export interface IoasCopyRequest {
  destinationId: IoasId;
  sourceId: IoasId;
  /** IOMMU_IOAS_MAP_*; FIXED_IOVA is about the destination. */
  flags: number;
  /** In bytes. */
  length: bigint;
  destinationIova: bigint;
  sourceIova: bigint;
}

/** struct iommu_option. */
export interface OptionRequest {
  /** IOMMU_OPTION_* */
  optionId: number;
  /** IOMMU_OPTION_OP_* */
  op: number;
  /** The object that it is of; 0 for the iommufd. */
  objectId: number;
  /** The value to set. */
  value: bigint;
}

/** struct iommu_hwpt_alloc. */
export interface HwptAllocRequest {
  deviceId: DeviceId;
  /** The IOAS; for a nested HWPT its parent, or a vIOMMU on top of that. */
  ptId: PageTableId | ViommuId;
  /** IOMMU_HWPT_* */
  flags: number;
  /** Fault queue, used if IOMMU_HWPT_FAULT_ID_VALID is set. */
  faultId?: FaultQueueId | undefined;
  /** Data of a type IOMMU_HWPT_DATA_*; absent: IOMMU_HWPT_DATA_NONE. */
  data?: DriverData | undefined;
}

/** struct iommu_hwpt_invalidate. */
export interface InvalidateRequest {
  /** A nested HWPT, or a vIOMMU. */
  id: HwptId | ViommuId;
  /** IOMMU_HWPT_INVALIDATE_DATA_* */
  dataType: number;
  /** Length of an entry in bytes. */
  entryLength: number;
  /** How many there are. */
  count: number;
  /** All of them, one after the other. */
  entries: Uint8Array;
}

/** struct iommu_viommu_alloc, of type IOMMU_VIOMMU_TYPE_*; with bytes if the driver takes or returns data. */
export interface ViommuAllocRequest extends DriverData {
  deviceId: DeviceId;
  /** A nest parent. */
  hwptId: HwptId;
}

/** struct iommu_hw_queue_alloc. */
export interface HwQueueAllocRequest {
  viommuId: ViommuId;
  /** IOMMU_HW_QUEUE_TYPE_* */
  type: number;
  /** Which of the queues of the vIOMMU. */
  index: number;
  /** Where its memory is mapped, in the IOAS of the nest parent. */
  iova: bigint;
  /** In bytes. */
  length: bigint;
}

/** struct vfio_irq_set. */
export interface SetIrqsRequest {
  /** VFIO_PCI_*_IRQ_INDEX */
  index: number;
  /** VFIO_IRQ_SET_ACTION_* */
  action: number;
  /** The first interrupt of that index, and how many. */
  start: number;
  count: number;
  /** One for each; none: it is about the interrupts themselves, and with TRIGGER and a count of 0 turns them all off. */
  eventFds: readonly EventFd[];
}

/** struct iommu_hwpt_get_dirty_bitmap. */
export interface DirtyBitmapRequest {
  hwptId: HwptId;
  /** IOMMU_HWPT_GET_DIRTY_BITMAP_* */
  flags: number;
  /** Where the range starts. */
  iova: bigint;
  /** How long it is, in bytes. */
  length: bigint;
  /** How much a bit stands for, in bytes. */
  pageSize: bigint;
}
