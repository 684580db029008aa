/** Calls that are refused, and the whole error of each: for refused.test.ts. */

import type { IommufdFile, VfioDeviceFile } from "../../lib/backend/backend.ts";
import type { BackendMemory, EventFd } from "../../lib/backend/handles.ts";
import { encodeNestedHwpt } from "../../lib/iommufd/driver-data.ts";
import { hex } from "../../lib/json.ts";
import type { IoasId } from "../../lib/uapi.ts";
import { PAGE } from "./backend.ts";

/** Ids of objects that are not there. */
const [A, B] = [98, 99] as const;
/** Pages in messages. */
const [ONE, TWO] = [hex(PAGE), hex(2n * PAGE)];
const LENGTHS = BigUint64Array.of(PAGE, PAGE, PAGE);
const MAP = { flags: 7, offset: 0n, length: PAGE, iova: 0n };
const COPY = { flags: 7, length: PAGE, destinationIova: 0n, sourceIova: PAGE };
const FILE = { flags: 7, start: 0n, length: PAGE, iova: PAGE };
/** Calls on a nested page table, which not every machine's IOMMU has. */
export const PARTLY_INVALIDATED = "EOPNOTSUPP: not supported, IOMMU_HWPT_INVALIDATE index=1 id=4 dataType=0";
const BITMAP = { flags: 0, iova: 0n, length: PAGE, pageSize: PAGE };

/** The objects of the calls. */
export interface World {
  readonly file: IommufdFile;
  readonly memory: BackendMemory;
  readonly ioasId: IoasId;
  readonly eventFd: EventFd;
  /** A device that is open, and bound to nothing. */
  readonly device: VfioDeviceFile;
}

/** A call that is refused: by the name of its method, whose twin `…Sync` is called likewise. */
export type Case = readonly [
  method: string,
  values: (world: World) => unknown[],
  /** The message of its error, which has the code and the ioctl, too. */
  message: string,
  request: Readonly<Record<string, number | bigint | boolean | string>>,
  /** How many things were handled before, of a call that handles many. Otherwise it throws. */
  done?: number,
];

export const ON_IOMMUFD: readonly Case[] = [
  ["destroy", () => [A], "ENOENT: no such object, IOMMU_DESTROY id=98", { id: A }],
  [
    "ioasAllowIovas",
    () => [A, [{ start: 0n, last: PAGE - 1n }]],
    "ENOENT: no such object, IOMMU_IOAS_ALLOW_IOVAS ioasId=98",
    { ioasId: A },
  ],
  [
    "ioasChangeProcess",
    ({ file, ioasId, memory }) => {
      file.ioasMapSync({ ...MAP, ioasId, memory });
      return [];
    },
    "EINVAL: invalid argument, IOMMU_IOAS_CHANGE_PROCESS",
    {},
  ],
  [
    "ioasCopy",
    () => [{ destinationId: A, sourceId: B, ...COPY }],
    `ENOENT: no such object, IOMMU_IOAS_COPY destinationId=98 sourceId=99 flags=7 length=${ONE} destinationIova=0x0 sourceIova=${ONE}`,
    { destinationId: A, sourceId: B, ...COPY },
  ],
  ["ioasIovaRanges", () => [A], "ENOENT: no such object, IOMMU_IOAS_IOVA_RANGES ioasId=98", { ioasId: A }],
  [
    "ioasMap",
    ({ memory }) => [{ ...MAP, ioasId: A, memory, offset: PAGE }],
    `ENOENT: no such object, IOMMU_IOAS_MAP ioasId=98 flags=7 iova=0x0 length=${ONE} offset=${ONE}`,
    { ...MAP, ioasId: A, offset: PAGE },
  ],
  [
    "ioasMapMany",
    ({ ioasId, memory }) => [
      {
        ...{ ioasId, flags: 7, memory, rollBack: true, lengths: LENGTHS },
        ...{ iovas: BigUint64Array.of(0n, PAGE, PAGE), offsets: BigUint64Array.of(0n, PAGE, 2n * PAGE) },
      },
    ],
    `EEXIST: already exists, IOMMU_IOAS_MAP index=2 ioasId=1 flags=7 iova=${ONE} length=${ONE} offset=${TWO}`,
    { index: 2, ioasId: 1, flags: 7, iova: PAGE, length: PAGE, offset: 2n * PAGE },
    2,
  ],
  [
    "ioasMapFile",
    ({ memory }) => [{ ...FILE, ioasId: A, file: memory }],
    `ENOENT: no such object, IOMMU_IOAS_MAP_FILE ioasId=98 flags=7 start=0x0 length=${ONE} iova=${ONE}`,
    { ...FILE, ioasId: A },
  ],
  [
    "ioasMapFile",
    ({ ioasId }) => [{ ...FILE, ioasId, file: 9999 }],
    `EBADF: bad file descriptor, IOMMU_IOAS_MAP_FILE ioasId=1 flags=7 file=9999 start=0x0 length=${ONE} iova=${ONE}`,
    { ...FILE, ioasId: 1, file: 9999 },
  ],
  [
    "ioasUnmap",
    () => [A, PAGE, PAGE],
    `ENOENT: no such object, IOMMU_IOAS_UNMAP ioasId=98 iova=${ONE} length=${ONE}`,
    { ioasId: A, iova: PAGE, length: PAGE },
  ],
  [
    "ioasUnmapMany",
    ({ file, ioasId, memory }) => {
      file.ioasMapSync({ ...MAP, ioasId, memory });
      return [ioasId, BigUint64Array.of(0n, PAGE, 2n * PAGE), LENGTHS];
    },
    `ENOENT: no such object, IOMMU_IOAS_UNMAP index=1 ioasId=1 iova=${ONE} length=${ONE}`,
    { index: 1, ioasId: 1, iova: PAGE, length: PAGE },
    1,
  ],
  [
    "option",
    () => [{ optionId: 7, op: 1, objectId: 0, value: 0n }],
    "EOPNOTSUPP: not supported, IOMMU_OPTION optionId=7 op=1 objectId=0 value=0x0",
    { optionId: 7, op: 1, objectId: 0, value: 0n },
  ],
  ["vfioIoas", () => [0, 0], "ENODEV: no such device, IOMMU_VFIO_IOAS op=0 ioasId=0", { op: 0, ioasId: 0 }],
  [
    "hwptAlloc",
    () => [{ deviceId: A, ptId: B, flags: 1 }],
    "ENOENT: no such object, IOMMU_HWPT_ALLOC deviceId=98 ptId=99 flags=1",
    { deviceId: A, ptId: B, flags: 1 },
  ],
  [
    "hwptSetDirtyTracking",
    () => [A, true],
    "ENOENT: no such object, IOMMU_HWPT_SET_DIRTY_TRACKING hwptId=98 enabled=true",
    { hwptId: A, enabled: true },
  ],
  [
    "hwptGetDirtyBitmap",
    () => [{ ...BITMAP, hwptId: A }],
    `ENOENT: no such object, IOMMU_HWPT_GET_DIRTY_BITMAP hwptId=98 flags=0 iova=0x0 length=${ONE} pageSize=${ONE}`,
    { ...BITMAP, hwptId: A },
  ],
  [
    "hwptInvalidate",
    () => [{ id: A, dataType: 0, entryLength: 24, count: 2, entries: new Uint8Array(48) }],
    "ENOENT: no such object, IOMMU_HWPT_INVALIDATE index=0 id=98 dataType=0",
    { index: 0, id: A, dataType: 0 },
    0,
  ],
  [
    "hwptInvalidate",
    ({ file, ioasId, device }) => {
      const deviceId = device.bindIommufd(file);
      const ptId = file.hwptAllocSync({ deviceId, ptId: ioasId, flags: 1 });
      const data = encodeNestedHwpt({ type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth: 48 });
      const id = file.hwptAllocSync({ deviceId, ptId, flags: 0, data });
      // The flags of the second entry are none that there are.
      const entries = new Uint8Array(48).fill(0xff, 24 + 16, 24 + 20);
      return [{ id, dataType: 0, entryLength: 24, count: 2, entries }];
    },
    PARTLY_INVALIDATED,
    { index: 1, id: 4, dataType: 0 },
    1,
  ],
  [
    "getHwInfo",
    () => [A, 64],
    "ENOENT: no such object, IOMMU_GET_HW_INFO deviceId=98 capacity=64",
    { deviceId: A, capacity: 64 },
  ],
  [
    "getHwInfo",
    ({ file, device }) => [device.bindIommufd(file), 64, 99],
    "EOPNOTSUPP: not supported, IOMMU_GET_HW_INFO deviceId=2 capacity=64 type=99",
    { deviceId: 2, capacity: 64, type: 99 },
  ],
  [
    "viommuAlloc",
    () => [{ deviceId: A, hwptId: B, type: 1, bytes: new Uint8Array(0) }],
    "ENOENT: no such object, IOMMU_VIOMMU_ALLOC deviceId=98 hwptId=99 type=1",
    { deviceId: A, hwptId: B, type: 1 },
  ],
  [
    "vdeviceAlloc",
    () => [A, B, 7n],
    "ENOENT: no such object, IOMMU_VDEVICE_ALLOC viommuId=98 deviceId=99 virtId=0x7",
    { viommuId: A, deviceId: B, virtId: 7n },
  ],
  [
    "veventqAlloc",
    () => [A, 1, 8],
    "ENOENT: no such object, IOMMU_VEVENTQ_ALLOC viommuId=98 type=1 depth=8",
    { viommuId: A, type: 1, depth: 8 },
  ],
  [
    "hwQueueAlloc",
    () => [{ viommuId: A, type: 1, index: 3, iova: PAGE, length: PAGE }],
    `ENOENT: no such object, IOMMU_HW_QUEUE_ALLOC viommuId=98 type=1 index=3 iova=${ONE} length=${ONE}`,
    { viommuId: A, type: 1, index: 3, iova: PAGE, length: PAGE },
  ],
  [
    "mapRegion",
    () => [0n, PAGE],
    `ENXIO: no such device or address, mmap position=0x0 length=${ONE}`,
    { position: 0n, length: PAGE },
  ],
];

/** A device that is bound to nothing refuses everything. */
export const ON_DEVICE: readonly Case[] = [
  [
    "bindIommufd",
    ({ file, device }) => {
      device.bindIommufd(file);
      return [file];
    },
    "EINVAL: invalid argument, VFIO_DEVICE_BIND_IOMMUFD",
    {},
  ],
  [
    "attachIommufdPt",
    () => [A],
    "EINVAL: invalid argument, VFIO_DEVICE_ATTACH_IOMMUFD_PT ptId=98",
    { ptId: A },
  ],
  [
    "attachIommufdPt",
    () => [A, 7],
    "EINVAL: invalid argument, VFIO_DEVICE_ATTACH_IOMMUFD_PT ptId=98 pasid=7",
    { ptId: A, pasid: 7 },
  ],
  ["detachIommufdPt", () => [], "EINVAL: invalid argument, VFIO_DEVICE_DETACH_IOMMUFD_PT", {}],
  [
    "detachIommufdPt",
    () => [7],
    "EINVAL: invalid argument, VFIO_DEVICE_DETACH_IOMMUFD_PT pasid=7",
    { pasid: 7 },
  ],
  ["getInfo", () => [], "EINVAL: invalid argument, VFIO_DEVICE_GET_INFO", {}],
  ["getRegionInfo", () => [3], "EINVAL: invalid argument, VFIO_DEVICE_GET_REGION_INFO index=3", { index: 3 }],
  ["getIrqInfo", () => [3], "EINVAL: invalid argument, VFIO_DEVICE_GET_IRQ_INFO index=3", { index: 3 }],
  [
    "setIrqs",
    ({ eventFd }) => [{ index: 1, action: 32, start: 2, count: 1, eventFds: [eventFd] }],
    "EINVAL: invalid argument, VFIO_DEVICE_SET_IRQS index=1 action=32 start=2 count=1",
    { index: 1, action: 32, start: 2, count: 1 },
  ],
  ["reset", () => [], "EINVAL: invalid argument, VFIO_DEVICE_RESET", {}],
  [
    "feature",
    () => [0x2_0003, new Uint8Array(8)],
    "EINVAL: invalid argument, VFIO_DEVICE_FEATURE flags=131075",
    { flags: 0x2_0003 },
  ],
  [
    "exportDmaBuf",
    () => [2, BigUint64Array.of(0n, PAGE)],
    "EINVAL: invalid argument, VFIO_DEVICE_FEATURE feature=DMA_BUF regionIndex=2",
    { feature: "DMA_BUF", regionIndex: 2 },
  ],
  [
    "startDmaLogging",
    () => [PAGE, BigUint64Array.of(0n, PAGE)],
    `EINVAL: invalid argument, VFIO_DEVICE_FEATURE feature=DMA_LOGGING_START pageSize=${ONE}`,
    { feature: "DMA_LOGGING_START", pageSize: PAGE },
  ],
  [
    "reportDmaLogging",
    () => [0n, PAGE, PAGE],
    `EINVAL: invalid argument, VFIO_DEVICE_FEATURE feature=DMA_LOGGING_REPORT iova=0x0 length=${ONE} pageSize=${ONE}`,
    { feature: "DMA_LOGGING_REPORT", iova: 0n, length: PAGE, pageSize: PAGE },
  ],
  [
    "read",
    () => [PAGE, new Uint8Array(8)],
    `EINVAL: invalid argument, pread position=${ONE} length=8`,
    { position: PAGE, length: 8 },
  ],
  [
    "write",
    () => [0n, new Uint8Array(4)],
    "EINVAL: invalid argument, pwrite position=0x0 length=4",
    { position: 0n, length: 4 },
  ],
  [
    "mapRegion",
    () => [0n, PAGE, true],
    `EINVAL: invalid argument, mmap position=0x0 length=${ONE}`,
    { position: 0n, length: PAGE },
  ],
];
