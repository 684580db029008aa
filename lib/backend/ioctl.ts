/**
 * The ioctls, one a row: what the kernel calls it, its number, and the names of its arguments, by the method of
 * lib/backend/backend.ts that issues it. Everything else that is said of an ioctl follows from here: errors, traces, what
 * {@link Iommufd.supports} asks, what a model can be made to fail, and which models have it.
 */

/** The release of Linux whose ioctls these are. A model is of this release if its profile names none. */
export const NEWEST_RELEASE = "7.2";

/** A version of Linux: 6.12 is [6, 12]. */
export type Version = readonly [major: number, minor: number];

/** A row. */
export interface Call {
  /** The name that the kernel gives it. */
  readonly name: string;
  /** The arguments that an error names, in order: from the request, or one by one. */
  readonly arguments: readonly string[];
  /** Which VFIO_DEVICE_FEATURE_*, of the ioctl that has many. */
  readonly feature?: string;
  /** Whether it is one call for many things. */
  readonly many?: true;
}

/** A row of an ioctl of an iommufd. */
export interface IommufdCall extends Call {
  /** Its number: IOMMUFD_CMD_* of include/uapi/linux/iommufd.h. */
  readonly number: number;
  /** The first Linux that has it, where that is later than 6.6: the devices of VFIO came with 6.6. docs/coverage.md says the same. */
  readonly since?: Version;
}

/** The ioctls of an iommufd. Its `…Sync` and `…Many` issue the same. */
export const IOMMUFD_IOCTLS = {
  destroy: { name: "IOMMU_DESTROY", number: 0x80, arguments: ["id"] },
  ioasAlloc: { name: "IOMMU_IOAS_ALLOC", number: 0x81, arguments: [] },
  ioasAllowIovas: { name: "IOMMU_IOAS_ALLOW_IOVAS", number: 0x82, arguments: ["ioasId"] },
  ioasCopy: {
    name: "IOMMU_IOAS_COPY",
    number: 0x83,
    arguments: ["destinationId", "sourceId", "flags", "length", "destinationIova", "sourceIova"],
  },
  ioasIovaRanges: { name: "IOMMU_IOAS_IOVA_RANGES", number: 0x84, arguments: ["ioasId"] },
  ioasMap: {
    name: "IOMMU_IOAS_MAP",
    number: 0x85,
    arguments: ["ioasId", "flags", "iova", "length", "offset"],
  },
  ioasUnmap: { name: "IOMMU_IOAS_UNMAP", number: 0x86, arguments: ["ioasId", "iova", "length"] },
  option: { name: "IOMMU_OPTION", number: 0x87, arguments: ["optionId", "op", "objectId", "value"] },
  vfioIoas: { name: "IOMMU_VFIO_IOAS", number: 0x88, arguments: ["op", "ioasId"] },
  hwptAlloc: { name: "IOMMU_HWPT_ALLOC", number: 0x89, arguments: ["deviceId", "ptId", "flags"] },
  getHwInfo: { name: "IOMMU_GET_HW_INFO", number: 0x8a, arguments: ["deviceId", "capacity", "type"] },
  hwptSetDirtyTracking: {
    name: "IOMMU_HWPT_SET_DIRTY_TRACKING",
    number: 0x8b,
    since: [6, 7],
    arguments: ["hwptId", "enabled"],
  },
  hwptGetDirtyBitmap: {
    name: "IOMMU_HWPT_GET_DIRTY_BITMAP",
    number: 0x8c,
    since: [6, 7],
    arguments: ["hwptId", "flags", "iova", "length", "pageSize"],
  },
  hwptInvalidate: {
    name: "IOMMU_HWPT_INVALIDATE",
    number: 0x8d,
    since: [6, 8],
    many: true,
    arguments: ["id", "dataType"],
  },
  faultQueueAlloc: { name: "IOMMU_FAULT_QUEUE_ALLOC", number: 0x8e, since: [6, 11], arguments: [] },
  ioasMapFile: {
    name: "IOMMU_IOAS_MAP_FILE",
    number: 0x8f,
    since: [6, 13],
    arguments: ["ioasId", "flags", "file", "start", "length", "iova"],
  },
  viommuAlloc: {
    name: "IOMMU_VIOMMU_ALLOC",
    number: 0x90,
    since: [6, 13],
    arguments: ["deviceId", "hwptId", "type"],
  },
  vdeviceAlloc: {
    name: "IOMMU_VDEVICE_ALLOC",
    number: 0x91,
    since: [6, 13],
    arguments: ["viommuId", "deviceId", "virtId"],
  },
  ioasChangeProcess: { name: "IOMMU_IOAS_CHANGE_PROCESS", number: 0x92, since: [6, 14], arguments: [] },
  veventqAlloc: {
    name: "IOMMU_VEVENTQ_ALLOC",
    number: 0x93,
    since: [6, 15],
    arguments: ["viommuId", "type", "depth"],
  },
  hwQueueAlloc: {
    name: "IOMMU_HW_QUEUE_ALLOC",
    number: 0x94,
    since: [6, 17],
    arguments: ["viommuId", "type", "index", "iova", "length"],
  },
} as const satisfies Readonly<Record<string, IommufdCall>>;

/** The ioctls of a device. */
export const VFIO_IOCTLS = {
  bindIommufd: { name: "VFIO_DEVICE_BIND_IOMMUFD", arguments: [] },
  attachIommufdPt: { name: "VFIO_DEVICE_ATTACH_IOMMUFD_PT", arguments: ["ptId", "pasid"] },
  detachIommufdPt: { name: "VFIO_DEVICE_DETACH_IOMMUFD_PT", arguments: ["pasid"] },
  getInfo: { name: "VFIO_DEVICE_GET_INFO", arguments: [] },
  getRegionInfo: { name: "VFIO_DEVICE_GET_REGION_INFO", arguments: ["index"] },
  getIrqInfo: { name: "VFIO_DEVICE_GET_IRQ_INFO", arguments: ["index"] },
  setIrqs: { name: "VFIO_DEVICE_SET_IRQS", arguments: ["index", "action", "start", "count"] },
  reset: { name: "VFIO_DEVICE_RESET", arguments: [] },
  feature: { name: "VFIO_DEVICE_FEATURE", arguments: ["flags"] },
  exportDmaBuf: { name: "VFIO_DEVICE_FEATURE", feature: "DMA_BUF", arguments: ["regionIndex"] },
  startDmaLogging: { name: "VFIO_DEVICE_FEATURE", feature: "DMA_LOGGING_START", arguments: ["pageSize"] },
  reportDmaLogging: {
    name: "VFIO_DEVICE_FEATURE",
    feature: "DMA_LOGGING_REPORT",
    arguments: ["iova", "length", "pageSize"],
  },
} as const satisfies Readonly<Record<string, Call>>;

/** The methods of a file beside ioctls. */
export const SYSTEM_CALLS = {
  mapRegion: { name: "mmap", arguments: ["position", "length"] },
  read: { name: "pread", arguments: ["position", "length"] },
  write: { name: "pwrite", arguments: ["position", "length"] },
} as const satisfies Readonly<Record<string, Call>>;

type NameIn<Calls extends Readonly<Record<string, Call>>> = Calls[keyof Calls]["name"];

/** An ioctl of an iommufd, by the kernel's name: "IOMMU_IOAS_MAP". docs/coverage.md lists them. */
export type IommufdIoctl = NameIn<typeof IOMMUFD_IOCTLS>;
/** An ioctl of an iommufd or of a device, by the kernel's name: "VFIO_DEVICE_RESET". docs/coverage.md lists them. */
export type Ioctl = IommufdIoctl | NameIn<typeof VFIO_IOCTLS>;
/** A call into the kernel, by its name there: an {@link Ioctl}, or "mmap", "pread", "pwrite" of a file. */
export type Syscall = Ioctl | NameIn<typeof SYSTEM_CALLS>;

/** Those names, for callers without a compiler. */
export const SYSCALLS: ReadonlySet<string> = new Set(
  [IOMMUFD_IOCTLS, VFIO_IOCTLS, SYSTEM_CALLS].flatMap((calls) =>
    Object.values<Call>(calls).map(({ name }) => name),
  ),
);
