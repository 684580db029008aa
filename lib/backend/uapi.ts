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
/** What a device can be attached to. */
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

/** enum iommufd_hwpt_get_dirty_bitmap_flags: leave the dirty bits as they are. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1 << 0;

/** enum iommufd_option: who is charged for pinned memory; 0 the user (the default), 1 the process. Of the iommufd. */
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

/** enum iommu_hw_info_type: the driver of this IOMMU tells nothing. */
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

/** What IOMMU_IOAS_IOVA_RANGES answers. */
export interface IovaRanges {
  /** Ranges in which mappings may be placed, in ascending order. */
  ranges: IovaRange[];
  /** Power of two that IOVAs and lengths must be multiples of; 1 until a domain narrows it. */
  alignment: bigint;
}

/** What IOMMU_GET_HW_INFO answers (struct iommu_hw_info). */
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
  /** Guest-physical address of the page table's root. */
  pgtblAddr: bigint;
  /** Address width in bits. */
  addrWidth: number;
}

/** What VFIO_DEVICE_GET_INFO answers (struct vfio_device_info, without capabilities). */
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

/** struct vfio_device_feature, flags: read a feature. */
export const VFIO_DEVICE_FEATURE_GET = 1 << 16;
/** struct vfio_device_feature, flags: set a feature. */
export const VFIO_DEVICE_FEATURE_SET = 1 << 17;
/** struct vfio_device_feature, flags: ask whether a feature can be read or set. */
export const VFIO_DEVICE_FEATURE_PROBE = 1 << 18;

/** What VFIO_DEVICE_GET_REGION_INFO answers (struct vfio_region_info, with its capabilities). */
export interface VfioRegionInfo {
  /** VFIO_REGION_INFO_FLAG_*. */
  flags: number;
  /** In bytes; 0 where there is nothing. */
  size: bigint;
  /** Where it is in the device's file, in bytes. */
  offset: bigint;
  /** The parts that may be mapped, where not all may be (VFIO_REGION_INFO_CAP_SPARSE_MMAP). */
  sparseAreas?: { offset: bigint; size: bigint }[];
  /** What kind of device-specific region it is (VFIO_REGION_INFO_CAP_TYPE). */
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
