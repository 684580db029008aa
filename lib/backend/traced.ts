/**
 * Publishes every ioctl on the tracing channel `iommufd:ioctl` of `node:diagnostics_channel`.
 *
 * The messages are those of a tracing channel (`start`, `end`, `asyncStart`, `asyncEnd`, `error`), with an
 * {@link IoctlTrace} as context. Without a subscriber a call costs one check.
 */

import { tracingChannel } from "node:diagnostics_channel";
import type { Backend, IommufdFile, VfioDeviceFile } from "./backend.ts";

/** What the messages of `tracing:iommufd:ioctl:*` carry. */
export interface IoctlTrace {
  /** The ioctl: "IOMMU_IOAS_MAP". */
  syscall: string;
  /** Its arguments, in the order of the method of lib/backend/backend.ts. */
  arguments: readonly unknown[];
  /** What it returned; set once it has. */
  result?: unknown;
  /** What it threw; set once it has. */
  error?: unknown;
}

const channel = tracingChannel<string, IoctlTrace>("iommufd:ioctl");

/** The ioctl of each method of an iommufd. */
export const IOMMUFD_IOCTLS = {
  destroy: "IOMMU_DESTROY",
  ioasAlloc: "IOMMU_IOAS_ALLOC",
  ioasAllowIovas: "IOMMU_IOAS_ALLOW_IOVAS",
  ioasChangeProcess: "IOMMU_IOAS_CHANGE_PROCESS",
  ioasCopy: "IOMMU_IOAS_COPY",
  ioasCopySync: "IOMMU_IOAS_COPY",
  ioasIovaRanges: "IOMMU_IOAS_IOVA_RANGES",
  ioasMap: "IOMMU_IOAS_MAP",
  ioasMapSync: "IOMMU_IOAS_MAP",
  ioasMapMany: "IOMMU_IOAS_MAP",
  ioasMapManySync: "IOMMU_IOAS_MAP",
  ioasUnmapMany: "IOMMU_IOAS_UNMAP",
  ioasUnmapManySync: "IOMMU_IOAS_UNMAP",
  ioasMapFile: "IOMMU_IOAS_MAP_FILE",
  ioasMapFileSync: "IOMMU_IOAS_MAP_FILE",
  ioasUnmap: "IOMMU_IOAS_UNMAP",
  ioasUnmapSync: "IOMMU_IOAS_UNMAP",
  option: "IOMMU_OPTION",
  vfioIoas: "IOMMU_VFIO_IOAS",
  hwptAlloc: "IOMMU_HWPT_ALLOC",
  hwptAllocSync: "IOMMU_HWPT_ALLOC",
  hwptSetDirtyTracking: "IOMMU_HWPT_SET_DIRTY_TRACKING",
  hwptGetDirtyBitmap: "IOMMU_HWPT_GET_DIRTY_BITMAP",
  hwptGetDirtyBitmapSync: "IOMMU_HWPT_GET_DIRTY_BITMAP",
  hwptInvalidate: "IOMMU_HWPT_INVALIDATE",
  getHwInfo: "IOMMU_GET_HW_INFO",
  faultQueueAlloc: "IOMMU_FAULT_QUEUE_ALLOC",
  viommuAlloc: "IOMMU_VIOMMU_ALLOC",
  vdeviceAlloc: "IOMMU_VDEVICE_ALLOC",
  veventqAlloc: "IOMMU_VEVENTQ_ALLOC",
  hwQueueAlloc: "IOMMU_HW_QUEUE_ALLOC",
} as const satisfies IoctlNames<IommufdFile>;

/** The ioctl of each method of a device. */
export const VFIO_IOCTLS = {
  bindIommufd: "VFIO_DEVICE_BIND_IOMMUFD",
  attachIommufdPt: "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
  attachIommufdPtSync: "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
  detachIommufdPt: "VFIO_DEVICE_DETACH_IOMMUFD_PT",
  getInfo: "VFIO_DEVICE_GET_INFO",
  getRegionInfo: "VFIO_DEVICE_GET_REGION_INFO",
  getIrqInfo: "VFIO_DEVICE_GET_IRQ_INFO",
  setIrqs: "VFIO_DEVICE_SET_IRQS",
  reset: "VFIO_DEVICE_RESET",
  feature: "VFIO_DEVICE_FEATURE",
  exportDmaBuf: "VFIO_DEVICE_FEATURE",
  startDmaLogging: "VFIO_DEVICE_FEATURE",
  reportDmaLogging: "VFIO_DEVICE_FEATURE",
} as const satisfies IoctlNames<VfioDeviceFile>;

/** What is no ioctl, and passed through. */
const UNTRACED = ["close", "fd", "supports", "read", "write", "mapRegion"] as const;

/** Every other method is an ioctl, so a new one cannot be left untraced. */
type IoctlNames<File> = Record<Exclude<keyof File, (typeof UNTRACED)[number]>, string>;

type Method = (...values: unknown[]) => unknown;

/** A backend whose files publish what they do. */
export function traced(backend: Backend): Backend {
  const originals = new WeakMap<IommufdFile, IommufdFile>();
  return {
    name: backend.name,
    profile: backend.profile,
    pageSize: backend.pageSize,
    vfioDevices: () => backend.vfioDevices(),
    findVfioDevice: (bdf) => backend.findVfioDevice(bdf),
    deviceUse: (bdf) => backend.deviceUse(bdf),
    allocMemory: (request) => backend.allocMemory(request),
    createEventFd: () => backend.createEventFd(),
    openIommufd: () => wrapIommufd(backend.openIommufd()),
    openIommufdFd: (fd) => wrapIommufd(backend.openIommufdFd(fd)),
    openVfioDevice: (cdev) => wrapDevice(backend.openVfioDevice(cdev)),
    openVfioDeviceFd: (fd) => wrapDevice(backend.openVfioDeviceFd(fd)),
  };

  function wrapIommufd(file: IommufdFile): IommufdFile {
    const tracing = tracedFile(file, IOMMUFD_IOCTLS);
    originals.set(tracing, file);
    return tracing;
  }

  function wrapDevice(file: VfioDeviceFile): VfioDeviceFile {
    return tracedFile(file, VFIO_IOCTLS, {
      // The backend knows its own file, not the one around it.
      bindIommufd: (iommufd) => file.bindIommufd(originals.get(iommufd) ?? iommufd),
    });
  }
}

/** A file whose methods publish, then do what those of the original do, or what is given instead. */
function tracedFile<File extends { close(): void }>(
  file: File,
  names: IoctlNames<File>,
  instead: Partial<File> = {},
): File {
  const methods: Record<string, Method> = {};
  const originals = { ...instead } as Record<string, Method>;
  const original = (name: string) =>
    originals[name] ?? (file as unknown as Record<string, Method>)[name]?.bind(file);
  for (const name of UNTRACED) {
    const method = original(name);
    if (method !== undefined) methods[name] = method;
  }
  for (const [name, syscall] of Object.entries<string>(names)) {
    const method = original(name);
    if (method === undefined) throw new TypeError(`a file has no ${name}()`);
    const trace = (
      `${name}Sync` in names ? channel.tracePromise : channel.traceSync
    ) as typeof channel.traceSync<undefined, unknown[], unknown>;
    methods[name] = (...values) =>
      channel.hasSubscribers
        ? trace.call(channel, method, { syscall, arguments: values }, undefined, ...values)
        : method(...values);
  }
  return methods as unknown as File;
}
