// The ioctls: how often each is made, with which arguments, and what of its result both sides have to agree on.

import { PAGE } from "./draw.js";

const U64_MAX = (1n << 64n) - 1n;
/** VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX and none: modelled devices have no interrupts of their own. */
const INTERRUPTS = [3, 4, 4, 4, 5, 0xffff_ffff];

/** @typedef {import("./draw.js").Draw} Draw */
/** @typedef {import("./side.js").Side} Side */
/**
 * @typedef {object} Kind
 * @property {number} weight
 * @property {string} name
 * @property {(draw: Draw) => readonly any[]} values
 * @property {(side: any, ...values: any[]) => unknown} call
 */

/** @type {(weight: number, name: string, values: Kind["values"], call: Kind["call"]) => Kind} */
export const kind = (weight, name, values, call) => ({ weight, name, values, call });

const mapRequest = (draw) => [{ ioasId: draw.id(), flags: draw.flags(7), ...draw.part(), iova: draw.iova() }];

/** Calls at the same time, each on an address space of its own: their order shows in none of them. */
async function together({ file, memory }, first, ranges) {
  return Promise.all(
    ranges.map(async ({ offset, length, iova, unmap }, index) => {
      const ioasId = first + index;
      try {
        if (unmap) return await file.ioasUnmap(ioasId, iova, length);
        return await file.ioasMap({ ioasId, flags: 7, memory, offset, length, iova });
      } catch (error) {
        return error.code;
      }
    }),
  );
}

/** @type {readonly Kind[]} */
export const calls = [
  kind(
    6,
    "ioasAlloc",
    () => [],
    ({ file }) => file.ioasAlloc(),
  ),
  kind(
    8,
    "destroy",
    (draw) => [draw.id()],
    ({ file }, id) => file.destroy(id),
  ),
  kind(20, "ioasMap", mapRequest, ({ file, memory }, request) => file.ioasMapSync({ ...request, memory })),
  kind(
    8,
    "ioasMapFile",
    (draw) => [
      {
        ioasId: draw.id(),
        flags: draw.flags(7),
        start: draw.below(4) === 0 ? draw.near() : draw.pages(66),
        length: draw.length(),
        iova: draw.iova(),
      },
      draw.of(undefined, undefined, undefined, 9999),
    ],
    ({ file, memory }, request, fd) => file.ioasMapFileSync({ ...request, file: fd ?? memory }),
  ),
  kind(
    12,
    "ioasUnmap",
    (draw) => [draw.id(), draw.iova(), draw.length()],
    ({ file }, id, iova, length) => file.ioasUnmapSync(id, iova, length),
  ),
  kind(
    4,
    "ioasUnmap everything",
    (draw) => [draw.id()],
    ({ file }, id) => file.ioasUnmapSync(id, 0n, U64_MAX),
  ),
  kind(
    8,
    "ioasCopy",
    (draw) => [
      {
        destinationId: draw.id(),
        sourceId: draw.id(),
        flags: draw.flags(7),
        length: draw.length(),
        destinationIova: draw.iova(),
        sourceIova: draw.iova(),
      },
    ],
    ({ file }, request) => file.ioasCopySync(request),
  ),
  kind(
    4,
    "ioasMapMany",
    (draw) => {
      const parts = Array.from({ length: draw.below(4) }, () => draw.part());
      return [
        {
          ioasId: draw.id(),
          flags: draw.flags(7),
          iovas: BigUint64Array.from(parts, () => draw.iova()),
          offsets: BigUint64Array.from(parts, ({ offset }) => offset),
          lengths: BigUint64Array.from(parts, ({ length }) => length),
          rollBack: draw.of(true, false),
        },
      ];
    },
    ({ file, memory }, request) => outcomeOf(file.ioasMapManySync({ ...request, memory })),
  ),
  kind(
    2,
    "ioasUnmapMany",
    (draw) => {
      const count = draw.below(4);
      const values = (next) => BigUint64Array.from({ length: count }, next);
      return [draw.id(), values(() => draw.iova()), values(() => draw.length())];
    },
    ({ file }, id, iovas, lengths) => outcomeOf(file.ioasUnmapManySync(id, iovas, lengths)),
  ),
  kind(
    2,
    "at the same time",
    (draw) => [
      1 + draw.below(6),
      Array.from({ length: 3 }, () => ({ ...draw.part(), iova: draw.iova(), unmap: draw.of(true, false) })),
    ],
    together,
  ),
  kind(
    4,
    "ioasAllowIovas",
    (draw) => [
      draw.id(),
      Array.from({ length: draw.below(4) }, () => {
        const start = draw.iova();
        return { start, last: BigInt.asUintN(64, start + draw.length() - 1n) };
      }),
    ],
    ({ file }, id, ranges) => file.ioasAllowIovas(id, ranges),
  ),
  kind(
    6,
    "ioasIovaRanges",
    (draw) => [draw.id()],
    ({ file }, id) => file.ioasIovaRanges(id),
  ),
  kind(
    4,
    "option",
    (draw) => {
      const optionId = draw.of(0, 1, 1, 1, 2);
      const objectId = optionId === 0 ? draw.of(0, 0, 0, 1) : draw.id();
      return [{ optionId, op: draw.of(0, 0, 1, 2), objectId, value: draw.of(0n, 1n, 2n) }];
    },
    ({ file }, request) => file.option(request),
  ),
  kind(
    2,
    "vfioIoas",
    (draw) => [draw.below(4), draw.id()],
    ({ file }, op, id) => file.vfioIoas(op, id),
  ),
  kind(
    2,
    "ioasChangeProcess",
    () => [],
    ({ file }) => file.ioasChangeProcess(),
  ),
  kind(
    2,
    "supports",
    (draw) => [
      draw.of("IOMMU_IOAS_MAP_FILE", "IOMMU_HW_QUEUE_ALLOC", "IOMMU_IOAS_MAP", "IOMMU_VIOMMU_ALLOC"),
    ],
    ({ file }, name) => file.supports(name),
  ),
  // Opening and closing devices takes the kernel a hundred times as long as the rest.
  kind(
    3,
    "bind",
    (draw) => [draw.below(2)],
    (side, device) => side.device(device).bindIommufd(side.file),
  ),
  kind(
    0.4,
    "close device",
    (draw) => [draw.below(2)],
    (side, device) => side.closeDevice(device),
  ),
  kind(
    0.3,
    "close iommufd, open another",
    () => [],
    (side) => side.open(),
  ),
  kind(
    12,
    "attach",
    (draw) => [draw.below(2), draw.id(), draw.pasid()],
    (side, device, id, pasid) => side.device(device).attachIommufdPtSync(id, pasid),
  ),
  kind(
    6,
    "detach",
    (draw) => [draw.below(2), draw.pasid()],
    (side, device, pasid) => side.device(device).detachIommufdPt(pasid),
  ),
  kind(
    8,
    "hwptAlloc",
    (draw) => [
      {
        deviceId: draw.id(),
        ptId: draw.id(),
        flags: draw.below(5) > 0 ? draw.of(0, 1, 1, 8) : draw.flags(15),
        faultId: draw.id(),
        data: draw.guest(),
      },
    ],
    ({ file }, request) => file.hwptAllocSync(request),
  ),
  kind(
    4,
    "hwptInvalidate",
    (draw) => {
      const [id, dataType, entryLength] = [draw.id(), draw.of(0, 0, 1), draw.of(24, 24, 16, 16, 0)];
      const count = entryLength === 0 ? 0 : 2;
      const entries = new Uint8Array(entryLength * 2);
      // A command of an SMMU, or a byte somewhere.
      if (entryLength === 16)
        [entries[0], entries[16]] = [draw.of(0x10, 0x30, 5, 1), draw.of(0x11, 0x40, 0x30)];
      else if (entryLength > 0) entries[draw.below(entries.length)] = draw.of(0, 0, 1, 0x10);
      return [{ id, dataType, entryLength, count, entries }];
    },
    ({ file }, request) => outcomeOf(file.hwptInvalidate(request)),
  ),
  kind(
    2,
    "setDirtyTracking",
    (draw) => [draw.id(), draw.of(true, false)],
    ({ file }, id, enabled) => file.hwptSetDirtyTracking(id, enabled),
  ),
  kind(
    2,
    "getDirtyBitmap",
    // A length of 0, and other page sizes than powers of two, are refused before the kernel is asked.
    (draw) => [
      {
        hwptId: draw.id(),
        flags: draw.of(0, 1, 2),
        iova: draw.iova(),
        length: draw.pages(7) + PAGE,
        pageSize: draw.of(PAGE / 2n, PAGE, 2n * PAGE),
      },
    ],
    ({ file }, request) => [...file.hwptGetDirtyBitmapSync(request)],
  ),
  kind(
    2,
    "getHwInfo",
    (draw) => [draw.id(), draw.of(undefined, undefined, 0, 1, 2, 4), draw.of(0, 8, 64)],
    ({ file }, id, type, capacity) => {
      const { data, ...rest } = file.getHwInfo(id, capacity, type);
      return { ...rest, data: [...data] };
    },
  ),
  kind(
    2,
    "faultQueueAlloc",
    () => [],
    (side) => {
      const queue = side.file.faultQueueAlloc();
      side.queues.push(queue);
      return queue.id;
    },
  ),
  kind(
    2,
    "a queue",
    (draw) => [draw.below(8), draw.of("read", "respond", "close")],
    ({ queues }, index, what) => {
      const queue = queues[index];
      if (what === "close") queues.splice(index, 1)[0]?.close();
      else return what === "read" ? queue?.read(1) : queue?.respond(1, 0);
    },
  ),
  kind(
    2,
    "viommuAlloc",
    (draw) => [
      { deviceId: draw.id(), hwptId: draw.id(), type: draw.of(0, 1, 1, 1, 2, 3), bytes: new Uint8Array(0) },
    ],
    ({ file }, request) => file.viommuAlloc(request).id,
  ),
  kind(
    2,
    "vdeviceAlloc",
    (draw) => [draw.id(), draw.id(), BigInt(draw.below(3))],
    ({ file }, viommu, device, virtId) => file.vdeviceAlloc(viommu, device, virtId),
  ),
  kind(
    1,
    "veventqAlloc",
    (draw) => [draw.id(), draw.of(0, 1, 2), draw.of(0, 1, 1 << 20)],
    ({ file }, viommu, type, depth) => file.veventqAlloc(viommu, type, depth).id,
  ),
  kind(
    1,
    "hwQueueAlloc",
    (draw) => [
      { viommuId: draw.id(), type: draw.of(0, 1), index: 0, iova: draw.iova(), length: draw.length() },
    ],
    ({ file }, request) => file.hwQueueAlloc(request),
  ),
  kind(
    1,
    "mapRegion",
    (draw) => [draw.pages(4)],
    ({ file }, position) => file.mapRegion(position, PAGE) && "mapped",
  ),
  kind(
    2,
    "getInfo",
    (draw) => [draw.below(2)],
    (side, device) => side.device(device).getInfo(),
  ),
  // Modelled regions are empty: what is there is not compared.
  kind(
    2,
    "getRegionInfo",
    (draw) => [draw.below(2), draw.of(0, 6, 7, 8, 9, 0xffff_ffff)],
    (side, device, index) => side.device(device).getRegionInfo(index) && "there",
  ),
  kind(
    2,
    "getIrqInfo",
    (draw) => [draw.below(2), draw.of(0, 1, 2, ...INTERRUPTS)],
    (side, device, index) => side.device(device).getIrqInfo(index).flags,
  ),
  kind(
    3,
    "setIrqs",
    (draw) => [
      draw.below(2),
      {
        index: draw.of(...INTERRUPTS),
        action: draw.of(8, 16, 32, 32),
        start: draw.of(0, 0, 0, 1),
        count: draw.of(0, 1, 1, 2),
      },
      draw.of(true, false),
    ],
    (side, device, request, withEventFds) => {
      const eventFds = Array.from({ length: withEventFds ? request.count : 0 }, () => side.createEventFd());
      const before = side.eventFds.at(-1);
      const answer = side.device(device).setIrqs({ ...request, eventFds });
      if (eventFds.length > 0) side.eventFds.push(eventFds[0]);
      return [answer, before?.read()];
    },
  ),
  kind(
    0.2,
    "reset",
    (draw) => [draw.below(2)],
    (side, device) => side.device(device).reset(),
  ),
  kind(
    1,
    "feature",
    // Whether there are those of devices that migrate, and one that there is not.
    (draw) => [draw.below(2), (draw.of(4, 5, 6, 7) << 16) | draw.of(1, 2, 6, 7, 8, 10, 0xffff)],
    (side, device, flags) => side.device(device).feature(flags, new Uint8Array(8)) && "there",
  ),
];

function outcomeOf({ done, error }) {
  return [done, error?.code];
}
