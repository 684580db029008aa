/**
 * Constants and value types of the iommufd and VFIO user API, under the kernel's names
 * (include/uapi/linux/iommufd.h, include/uapi/linux/vfio.h).
 */

declare const brand: unique symbol;

/** An object id of an iommufd: 32 bits, unique within it, the lowest free one from 1 on. */
export type ObjectId<Kind extends string = string> = number & { readonly [brand]: Kind };
/** The id of an I/O address space (IOAS). */
export type IoasId = ObjectId<"ioas">;
/** The id of a hardware page table (HWPT). */
export type HwptId = ObjectId<"hwpt">;
/** The id of a device bound to an iommufd. */
export type DeviceId = ObjectId<"device">;
/** The id of a fault queue. */
export type FaultQueueId = ObjectId<"fault">;
/** The id of a virtual IOMMU (vIOMMU). */
export type ViommuId = ObjectId<"viommu">;
/** The id of a virtual device of one (vDEVICE). */
export type VdeviceId = ObjectId<"vdevice">;
/** The id of an event queue of one (vEVENTQ). */
export type VeventQueueId = ObjectId<"veventq">;
/** The id of a hardware queue of one. */
export type HwQueueId = ObjectId<"hw-queue">;
/** The ids of objects that a device can be attached to. */
export type PageTableId = IoasId | HwptId;

/** enum iommufd_ioas_map_flags */
export const IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0;
/** enum iommufd_ioas_map_flags */
export const IOMMU_IOAS_MAP_WRITEABLE = 1 << 1;
/** enum iommufd_ioas_map_flags */
export const IOMMU_IOAS_MAP_READABLE = 1 << 2;

/** enum iommufd_hwpt_alloc_flags: may be the parent of a nested HWPT. */
export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0;
/** enum iommufd_hwpt_alloc_flags: can track which pages DMA wrote to. */
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1;
/** enum iommufd_hwpt_alloc_flags: the fault id is given. */
export const IOMMU_HWPT_FAULT_ID_VALID = 1 << 2;
/** enum iommufd_hwpt_alloc_flags: can be used together with attaching PASIDs. */
export const IOMMU_HWPT_ALLOC_PASID = 1 << 3;

/** enum iommu_hwpt_data_type: no data of a driver. */
export const IOMMU_HWPT_DATA_NONE = 0;
/** enum iommu_hwpt_data_type: struct iommu_hwpt_vtd_s1. */
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
/** enum iommu_hwpt_data_type: struct iommu_hwpt_arm_smmuv3. */
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2;
/** enum iommu_hwpt_data_type: struct iommu_hwpt_amd_guest. */
export const IOMMU_HWPT_DATA_AMD_GUEST = 3;

/** enum iommu_hwpt_invalidate_data_type: struct iommu_hwpt_vtd_s1_invalidate. */
export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;
/** enum iommu_hwpt_invalidate_data_type: struct iommu_viommu_arm_smmuv3_invalidate, of a vIOMMU. */
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1;
/** enum iommu_hwpt_vtd_s1_invalidate_flags: only the leaf entries, not what leads to them. */
export const IOMMU_VTD_INV_FLAGS_LEAF = 1 << 0;

/** enum iommu_hwpt_pgfault_flags: the fault has a PASID. */
export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1 << 0;
/** enum iommu_hwpt_pgfault_flags: the last of its group. */
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1 << 1;
/** enum iommu_hwpt_pgfault_perm */
export const IOMMU_PGFAULT_PERM_READ = 1 << 0;
/** enum iommu_hwpt_pgfault_perm */
export const IOMMU_PGFAULT_PERM_WRITE = 1 << 1;
/** enum iommu_hwpt_pgfault_perm */
export const IOMMU_PGFAULT_PERM_EXEC = 1 << 2;
/** enum iommu_hwpt_pgfault_perm */
export const IOMMU_PGFAULT_PERM_PRIV = 1 << 3;
/** enum iommufd_page_response_code: handled, try again. */
export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
/** enum iommufd_page_response_code: not handled, the access fails. */
export const IOMMUFD_PAGE_RESP_INVALID = 1;

/** enum iommu_viommu_type */
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
/** enum iommu_viommu_type */
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;
/** enum iommu_veventq_type */
export const IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1;
/** enum iommu_veventq_type */
export const IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2;
/** enum iommu_veventq_flag: events were lost after the last one. */
export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1 << 0;
/** enum iommu_hw_queue_type */
export const IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1;

/** enum iommufd_hwpt_get_dirty_bitmap_flags: leave the dirty bits as they are. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1 << 0;

/**
 * enum iommufd_option: who is charged for pinned memory; 0 the user (the default), 1 the process. Number of the device
 * in its iommufd.
 */
export const IOMMU_OPTION_RLIMIT_MODE = 0;
/** enum iommufd_option: whether pages may be combined into huge ones; 1 (the default) or 0. Of an IOAS. */
export const IOMMU_OPTION_HUGE_PAGES = 1;
/** enum iommufd_option_ops */
export const IOMMU_OPTION_OP_SET = 0;
/** enum iommufd_option_ops */
export const IOMMU_OPTION_OP_GET = 1;

/** enum iommufd_vfio_ioas_op */
export const IOMMU_VFIO_IOAS_GET = 0;
/** enum iommufd_vfio_ioas_op */
export const IOMMU_VFIO_IOAS_SET = 1;
/** enum iommufd_vfio_ioas_op */
export const IOMMU_VFIO_IOAS_CLEAR = 2;

/** enum iommu_hw_info_type: the driver of this IOMMU gives no information. */
export const IOMMU_HW_INFO_TYPE_NONE = 0;
/** enum iommu_hw_info_type: struct iommu_hw_info_vtd. */
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
/** enum iommu_hw_info_type: struct iommu_hw_info_arm_smmuv3. */
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
/** enum iommu_hw_info_type: struct iommu_hw_info_tegra241_cmdqv. */
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;
/** enum iommu_hw_info_type: struct iommu_hw_info_amd. */
export const IOMMU_HW_INFO_TYPE_AMD = 4;

/** enum iommufd_hw_capabilities: HWPTs can track dirty pages. */
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1n << 0n;

/** enum iommu_hw_info_vtd_flags */
export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1 << 0;

/** struct vfio_device_info, flags: VFIO_DEVICE_FLAGS_RESET, the device can be reset. */
export const VFIO_DEVICE_FLAGS_RESET = 1 << 0;
/** struct vfio_device_info, flags: VFIO_DEVICE_FLAGS_PCI, a vfio-pci device. */
export const VFIO_DEVICE_FLAGS_PCI = 1 << 1;

/** struct iommu_iova_range: a range of I/O virtual addresses. */
export interface IovaRange {
  /** The first address. */
  start: bigint;
  /** The last address, inclusive. */
  last: bigint;
}

/** The answer of IOMMU_IOAS_IOVA_RANGES. */
export interface IovaRanges {
  /** Ranges in which mappings may be placed, in ascending order. */
  ranges: IovaRange[];
  /** Power of two that IOVAs and lengths must be multiples of; 1 until a domain narrows it. */
  alignment: bigint;
}

/** The answer of IOMMU_GET_HW_INFO (struct iommu_hw_info). */
export interface HwInfo {
  /** enum iommu_hw_info_type: says how to read `data`. */
  type: number;
  /** The IOMMU driver's own structure, cut to the room that was offered. */
  data: Uint8Array;
  /** Length in bytes of that structure in this kernel; more than `data.length` if it was cut. */
  dataLength: number;
  /** Width of PASIDs in bits, 0 where PASID is not enabled for the device. */
  maxPasidLog2: number;
  /** enum iommufd_hw_capabilities, 64 bits. */
  capabilities: bigint;
}

/** struct iommu_hwpt_vtd_s1: a first-stage page table of a guest. */
export interface HwptVtdS1 {
  /** enum iommu_hwpt_vtd_s1_flags, 64 bits: SRE (0), EAFE (1), WPE (2). */
  flags: bigint;
  /** Guest-physical address of the page table's root, 64 bits. */
  pgtblAddr: bigint;
  /** Address width in bits. */
  addrWidth: number;
}

/** struct iommu_hwpt_arm_smmuv3: the part of a Stream Table Entry that a guest decides. */
export interface HwptArmSmmuv3 {
  /** The first two double words of the STE. */
  ste: readonly [bigint, bigint];
}

/** struct iommu_hwpt_amd_guest: the Device Table Entry of a guest. */
export interface HwptAmdGuest {
  /** The four double words of the DTE. */
  dte: readonly [bigint, bigint, bigint, bigint];
}

/** Data of an IOMMU driver: a structure that only it reads, little-endian. */
export interface DriverData {
  /** Says which structure it is; the enumeration depends on the call. */
  type: number;
  /** The structure; at most 4096 bytes. */
  bytes: Uint8Array;
}

/** struct iommu_hwpt_pgfault: a page request of a device. */
export interface PageFaultRecord {
  /** IOMMU_PGFAULT_FLAGS_* */
  flags: number;
  /** The device that it came from. */
  deviceId: DeviceId;
  /** Its PASID, where IOMMU_PGFAULT_FLAGS_PASID_VALID is set. */
  pasid: number;
  /** Page Request Group Index: 9 bits on PCI. */
  groupId: number;
  /** IOMMU_PGFAULT_PERM_* */
  permissions: number;
  /** The address that is missing. */
  address: bigint;
  /** How much the device is about to use, in bytes; 0 where it did not say. */
  length: number;
  /** Names the group in the response. */
  cookie: number;
}

/** struct iommufd_vevent_header, and what follows it. */
export interface VeventRecord {
  /** IOMMU_VEVENTQ_FLAG_* */
  flags: number;
  /** Counts events from 0 to 2^31-1 and over again, including lost events. */
  sequence: number;
  /** The event; empty with IOMMU_VEVENTQ_FLAG_LOST_EVENTS. */
  data: Uint8Array;
}

/** The answer of VFIO_DEVICE_GET_INFO (struct vfio_device_info, without capabilities). */
export interface VfioDeviceInfo {
  /** VFIO_DEVICE_FLAGS_*. */
  flags: number;
  /** Number of regions (highest index + 1). */
  numRegions: number;
  /** Number of interrupt types (highest index + 1). */
  numIrqs: number;
}

/** struct vfio_region_info, flags: can be read. */
export const VFIO_REGION_INFO_FLAG_READ = 1 << 0;
/** struct vfio_region_info, flags: can be written. */
export const VFIO_REGION_INFO_FLAG_WRITE = 1 << 1;
/** struct vfio_region_info, flags: can be mapped. */
export const VFIO_REGION_INFO_FLAG_MMAP = 1 << 2;

/** Regions of a PCI device: its six BARs are 0 to 5. */
export const VFIO_PCI_BAR0_REGION_INDEX = 0;
/** Regions of a PCI device: its expansion ROM. */
export const VFIO_PCI_ROM_REGION_INDEX = 6;
/** Regions of a PCI device: its configuration space. */
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
/** VGA's, which only graphics devices have. */
export const VFIO_PCI_VGA_REGION_INDEX = 8;

/** Interrupts of a PCI device: the one of a pin. */
export const VFIO_PCI_INTX_IRQ_INDEX = 0;
/** Interrupts of a PCI device: MSI. */
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
/** Interrupts of a PCI device: MSI-X. */
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
/** Interrupts of a PCI device: an error was found (AER). */
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
/** Interrupts of a PCI device: the host wants it back. */
export const VFIO_PCI_REQ_IRQ_INDEX = 4;

/** struct vfio_irq_info, flags: signals an eventfd. */
export const VFIO_IRQ_INFO_EVENTFD = 1 << 0;
/** struct vfio_irq_info, flags: can be masked. */
export const VFIO_IRQ_INFO_MASKABLE = 1 << 1;
/** struct vfio_irq_info, flags: is masked by being signalled, until it is unmasked. */
export const VFIO_IRQ_INFO_AUTOMASKED = 1 << 2;
/** struct vfio_irq_info, flags: how many are used is decided when the first is. */
export const VFIO_IRQ_INFO_NORESIZE = 1 << 3;

/** struct vfio_irq_set, flags */
export const VFIO_IRQ_SET_ACTION_MASK = 1 << 3;
/** struct vfio_irq_set, flags */
export const VFIO_IRQ_SET_ACTION_UNMASK = 1 << 4;
/** struct vfio_irq_set, flags */
export const VFIO_IRQ_SET_ACTION_TRIGGER = 1 << 5;

/** The answer of VFIO_DEVICE_GET_IRQ_INFO (struct vfio_irq_info). */
export interface VfioIrqInfo {
  /** VFIO_IRQ_INFO_*. */
  flags: number;
  /** How many interrupts there are of that kind. */
  count: number;
}

/** struct vfio_device_feature, flags: read a feature. */
export const VFIO_DEVICE_FEATURE_GET = 1 << 16;
/** struct vfio_device_feature, flags: set a feature. */
export const VFIO_DEVICE_FEATURE_SET = 1 << 17;
/** struct vfio_device_feature, flags: ask whether a feature can be read or set. */
export const VFIO_DEVICE_FEATURE_PROBE = 1 << 18;

/** VFIO_DEVICE_FEATURE: the device stops noting what DMA writes to. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
/** VFIO_DEVICE_FEATURE of which the data is bytes and nothing else: no addresses, no descriptors. */
export const VFIO_PLAIN_FEATURES: ReadonlySet<number> = new Set([0, 1, 3, 5, 7, 9, 10]);

/** The answer of VFIO_DEVICE_GET_REGION_INFO (struct vfio_region_info, with its capabilities). */
export interface VfioRegionInfo {
  /** VFIO_REGION_INFO_FLAG_*. */
  flags: number;
  /** In bytes; 0 where there is nothing. */
  size: bigint;
  /** Where it is in the device's file, in bytes. */
  offset: bigint;
  /** The parts that may be mapped, where not all may be (VFIO_REGION_INFO_CAP_SPARSE_MMAP). */
  sparseAreas?: {
    /** Within the region, in bytes. */
    offset: bigint;
    /** In bytes. */
    size: bigint;
  }[];
  /** The kind of a device-specific region (VFIO_REGION_INFO_CAP_TYPE). */
  type?: number;
  /** VFIO_REGION_INFO_CAP_TYPE */
  subtype?: number;
  /** Whether the MSI-X table may be mapped too (VFIO_REGION_INFO_CAP_MSIX_MAPPABLE). */
  msixMappable?: boolean;
}

/** Names of the bits of {@link HwInfo.capabilities}, without the prefix IOMMU_HW_CAP_. */
export const HW_CAPABILITY_BITS = {
  DIRTY_TRACKING: 0,
  PCI_PASID_EXEC: 1,
  PCI_PASID_PRIV: 2,
  PCI_ATS_NOT_SUPPORTED: 3,
} as const;

/** Names of the bits of the flags in struct iommu_hw_info_vtd, without the prefix IOMMU_HW_INFO_VTD_. */
export const VTD_FLAG_BITS = { ERRATA_772415_SPR17: 0 } as const;

/** The names of the bits that are set, in ascending order; a bit without a name is "BIT_n". */
export function bitNames(value: bigint, bits: Readonly<Record<string, number>>): string[] {
  const names = new Map(Object.entries(bits).map(([name, bit]) => [bit, name]));
  const set: string[] = [];
  for (let bit = 0; value >> BigInt(bit) > 0n; bit++) {
    if ((value >> BigInt(bit)) & 1n) set.push(names.get(bit) ?? `BIT_${bit}`);
  }
  return set;
}
