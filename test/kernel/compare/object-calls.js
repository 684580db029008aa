// The objects of the library: what they let one do, in any order, closed ones included.

import { kind } from "./calls.js";

const index = (draw) => draw.below(6);
const placement = (draw) => ({
  ...draw.of({}, {}, { iova: draw.iova() }, { iova: draw.pages(40) }),
  ...draw.of({}, {}, {}, { writable: false }, { readable: false }),
});

/** The outcome of a call that was left out. */
export const LEFT_OUT = Symbol("left out");

/** A call with objects of the named kinds, the newest or older ones. The call is left out where there is no such object yet. */
function withObjects(names, call) {
  return (side, indices, ...values) => {
    const found = names.map((name, position) => {
      // The newest one may be closed, the others are open.
      const list = side.objects[name].filter(({ closed }, at, all) => !closed || at === all.length - 1);
      return list[list.length - 1 - (indices[position] % Math.max(1, list.length))];
    });
    return found.includes(undefined) ? LEFT_OUT : call(side, ...found, ...values);
  };
}

/** @type {(weight: number, name: string, of: string[], values: (draw: any) => any[], call: (side: any, ...values: any[]) => unknown) => import("./calls.js").Kind} */
const objectKind = (weight, name, of, values, call) =>
  kind(weight, name, (draw) => [of.map(() => index(draw)), ...values(draw)], withObjects(of, call));

const kept = (list, object) => {
  list.push(object);
  return object.id;
};
const state = (object) => [object.closed, object.devices?.length, object.attachedTo?.id];

/** @type {readonly import("./calls.js").Kind[]} */
export const objectCalls = [
  objectKind(
    4,
    "Iommufd.allocIoas",
    [],
    () => [],
    ({ objects, iommufd }) => kept(objects.ioas, iommufd.allocIoas()),
  ),
  objectKind(
    2,
    "Iommufd.openDevice",
    [],
    (draw) => [draw.below(2)],
    (side, which) =>
      kept(
        side.objects.device,
        side.asRoot(() => side.iommufd.openDevice(side.bdfs[which])),
      ),
  ),
  objectKind(
    1,
    "Iommufd.allocFaultQueue",
    [],
    () => [],
    ({ objects, iommufd }) => kept(objects.faultQueue, iommufd.allocFaultQueue()),
  ),
  objectKind(
    1,
    "Iommufd.changeProcess",
    [],
    () => [],
    ({ iommufd }) => iommufd.changeProcess(),
  ),
  objectKind(
    1,
    "Iommufd.vfioIoas",
    ["ioas"],
    (draw) => [draw.of("get", "set", "clear")],
    ({ iommufd }, ioas, what) => {
      if (what === "get") return iommufd.vfioIoas;
      return iommufd.setVfioIoas(what === "set" ? ioas : undefined);
    },
  ),
  objectKind(
    14,
    "Ioas.mapSync",
    ["ioas"],
    (draw) => [{ ...draw.part(), ...placement(draw) }],
    ({ dmaMemory }, ioas, options) => [ioas.mapSync(dmaMemory, options), dmaMemory.mappings],
  ),
  objectKind(
    4,
    "Ioas.map",
    ["ioas"],
    (draw) => [{ ...draw.part(), ...placement(draw) }],
    ({ dmaMemory }, ioas, options) => ioas.map(dmaMemory, options),
  ),
  objectKind(
    4,
    "Ioas.mapFileSync",
    ["ioas"],
    (draw) => {
      const { offset, length } = draw.part();
      return [{ start: offset, length, ...placement(draw) }];
    },
    ({ dmaMemory }, ioas, options) => ioas.mapFileSync(dmaMemory, options),
  ),
  objectKind(
    4,
    "Ioas.mapManySync",
    ["ioas"],
    (draw) => {
      const parts = Array.from({ length: draw.below(4) }, () => draw.part());
      const ranges = {
        offsets: BigUint64Array.from(parts, ({ offset }) => offset),
        lengths: BigUint64Array.from(parts, ({ length }) => length),
        iovas: BigUint64Array.from(parts, () => draw.pages(40)),
      };
      return [ranges, draw.of({}, { writable: false })];
    },
    ({ dmaMemory }, ioas, ranges, options) => [
      ioas.mapManySync(dmaMemory, ranges, options),
      dmaMemory.mappings,
    ],
  ),
  objectKind(
    6,
    "Ioas.unmapSync",
    ["ioas"],
    (draw) => draw.of([draw.iova(), draw.length()], [0n, (1n << 64n) - 1n]),
    ({ dmaMemory }, ioas, iova, length) => [ioas.unmapSync(iova, length), dmaMemory.mappings],
  ),
  objectKind(
    6,
    "Ioas.copyFromSync",
    ["ioas", "ioas"],
    (draw) => [{ sourceIova: draw.iova(), length: draw.length(), ...placement(draw) }],
    ({ dmaMemory }, ioas, source, options) => [ioas.copyFromSync(source, options), dmaMemory.mappings],
  ),
  objectKind(
    3,
    "Ioas.iovaRanges",
    ["ioas"],
    () => [],
    (_, ioas) => ioas.iovaRanges(),
  ),
  objectKind(
    1,
    "Ioas.hugePages",
    ["ioas"],
    (draw) => [draw.of(true, false)],
    (_, ioas, enabled) => {
      ioas.hugePages = enabled;
      return ioas.hugePages;
    },
  ),
  objectKind(
    6,
    "Ioas.allocHwptSync",
    ["ioas", "device"],
    (draw) => [
      {
        ...draw.of({}, { nestParent: true }, { nestParent: true }, { dirtyTracking: true }, { pasid: true }),
      },
      draw.below(5) === 0,
    ],
    ({ objects }, ioas, device, options, withQueue) => {
      const faultQueue = withQueue ? objects.faultQueue.at(-1) : undefined;
      return kept(objects.hwpt, ioas.allocHwptSync(device, { ...options, faultQueue }));
    },
  ),
  objectKind(
    4,
    "Hwpt.allocNestedSync",
    ["hwpt", "device"],
    (draw) => [draw.of(48, 48, 57)],
    ({ objects }, hwpt, device, addrWidth) =>
      kept(
        objects.hwpt,
        hwpt.allocNestedSync(device, { type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth }),
      ),
  ),
  objectKind(
    2,
    "Hwpt.invalidate",
    ["hwpt"],
    (draw) => [
      Array.from({ length: draw.below(3) }, () => ({ address: draw.iova(), pages: BigInt(draw.below(3)) })),
    ],
    (_, hwpt, entries) => hwpt.invalidate(entries),
  ),
  objectKind(
    8,
    "Device.attachSync",
    ["device", "ioas", "hwpt"],
    (draw) => [draw.of(true, false), draw.of(undefined, undefined, undefined, 7, 8)],
    (_, device, ioas, hwpt, toIoas, pasid) => [
      device.attachSync(toIoas ? ioas : hwpt, pasid === undefined ? {} : { pasid }),
      state(device),
      state(ioas),
    ],
  ),
  objectKind(
    3,
    "Device.detach",
    ["device"],
    (draw) => [draw.of(undefined, undefined, 7, 8)],
    (_, device, pasid) => [device.detach(pasid === undefined ? {} : { pasid }), state(device)],
  ),
  objectKind(
    1,
    "Device.hwInfo",
    ["device"],
    () => [],
    (_, device) => [...device.hwInfo().data],
  ),
  objectKind(
    1,
    "Device.close",
    ["device"],
    () => [],
    (_, device) => [device.close(), state(device)],
  ),
  objectKind(
    2,
    "Hwpt.close",
    ["hwpt", "device"],
    () => [],
    (_, hwpt, device) => [hwpt.close(), state(device)],
  ),
  objectKind(
    2,
    "Ioas.close",
    ["ioas", "hwpt"],
    () => [],
    ({ dmaMemory }, ioas, hwpt) => [ioas.close(), state(hwpt), dmaMemory.mappings],
  ),
  objectKind(
    1,
    "FaultQueue.close",
    ["faultQueue", "hwpt"],
    () => [],
    (_, queue, hwpt) => [queue.close(), state(hwpt)],
  ),
];
