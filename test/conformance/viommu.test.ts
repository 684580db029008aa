/** Nesting with a driver's own data, invalidation, vIOMMUs and what belongs to them, on mock devices. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Device, Hwpt, Ioas, Vevent, Viommu } from "../../lib/index.ts";
import type { ObjectId } from "../../lib/uapi.ts";
import { backendName, laterThan, PAGE } from "./backend.ts";
import { lacks } from "./iommus.ts";
import { APERTURE, type MockMachine, nestedSelftest, openMockMachine, words } from "./mock-machine.ts";

const SELFTEST = 0xdeadbeef;
const VEVENTS = { type: 0xbeefbeef, dataLength: 4 } as const;
/** The first content of a cache of a mock device (IOMMU_TEST_DEV_CACHE_DEFAULT). */
const CACHED = 0xbaddad;

let machine: MockMachine;
let device: Device;
let ioas: Ioas;
let parent: Hwpt;

const refusal = (code: string, syscall: string) => expect.objectContaining({ code, syscall });

/** An invalidation of the mock driver: flags (1: everything) and which entries. */
const entries = (...pairs: (readonly [flags: number, index: number])[]) => ({
  ...words(SELFTEST, ...pairs.flat()),
  entryLength: 8,
});

beforeEach(() => {
  machine = openMockMachine();
  device = machine.openDevice({ pasid: true });
  ioas = machine.iommufd.allocIoas();
  parent = ioas.allocHwptSync(device, { nestParent: true });
});

afterEach(() => machine.iommufd.close());

describe.skipIf(lacks.mocks || !laterThan(6, 12))(`a nested page table (${backendName})`, () => {
  it("is allocated with the driver's data, attached, and invalidated entry by entry", async () => {
    const nested = await parent.allocNested(device, nestedSelftest(0xabc));
    expect(device.attachSync(nested)).toBe(nested.id);
    const iotlb = () => [0, 1, 2, 3].map((index) => machine.iotlbHas(nested, index, 0xabc));
    expect(iotlb()).toEqual([true, true, true, true]);
    expect(nested.invalidate(entries([0, 1]))).toBe(1);
    expect(iotlb()).toEqual([true, false, true, true]);
    expect(() => nested.invalidate(entries([0, 0], [0, 9], [0, 3]))).toThrow(
      expect.objectContaining({ code: "EINVAL", request: expect.objectContaining({ index: 1 }) }),
    );
    expect(iotlb(), "those before the one that was refused").toEqual([false, false, true, true]);
    expect(() => nested.invalidate(entries([4, 0]))).toThrow(refusal("EOPNOTSUPP", "IOMMU_HWPT_INVALIDATE"));
    expect(nested.invalidate(entries([1, 0]))).toBe(1);
    expect(iotlb()).toEqual([false, false, false, false]);
    expect(nested.invalidate(entries())).toBe(0);
  });

  it("sends faults to a queue", async () => {
    const faultQueue = machine.iommufd.allocFaultQueue();
    const nested = parent.allocNestedSync(device, nestedSelftest(0), { faultQueue });
    device.attachSync(nested);
    machine.fault(device, { groupId: 1, permissions: 1, address: APERTURE });
    for await (const group of faultQueue) {
      expect(group.faults[0]?.address).toBe(APERTURE);
      group.respond("success");
      break;
    }
    faultQueue.close();
    expect([nested.closed, parent.closed]).toEqual([true, false]);
  });

  it("is not the only one that takes data of the mock driver", () => {
    const alloc = (type: number, ...values: number[]) =>
      machine.file.hwptAllocSync({
        deviceId: device.id,
        ptId: ioas.id,
        flags: 0,
        data: words(type, ...values),
      });
    expect(device.attachSync(machine.iommufd.allocIoas())).toBeGreaterThan(0);
    expect(alloc(0xdead, 1, 0)).toBeGreaterThan(0);
    expect(alloc(0xdead, 1)).toBeGreaterThan(0);
    expect(() => alloc(0xdead, 1, 0, 0)).toThrow(refusal("EINVAL", "IOMMU_HWPT_ALLOC"));
    expect(() => alloc(0xdead, 1, 9)).toThrow(refusal("EOPNOTSUPP", "IOMMU_HWPT_ALLOC"));
    expect(() => alloc(1, 1, 0)).toThrow(refusal("EOPNOTSUPP", "IOMMU_HWPT_ALLOC"));
  });

  it("is refused with data of another driver: EOPNOTSUPP, or without a nest parent: EINVAL", () => {
    expect(() => parent.allocNestedSync(device, { type: "arm-smmuv3", ste: [0n, 0n] })).toThrow(
      refusal("EOPNOTSUPP", "IOMMU_HWPT_ALLOC"),
    );
    const plain = ioas.allocHwptSync(device);
    expect(() => plain.allocNestedSync(device, nestedSelftest(0))).toThrow(
      refusal("EINVAL", "IOMMU_HWPT_ALLOC"),
    );
  });
});

describe.skipIf(lacks.mocks || !laterThan(6, 12))(`hardware information (${backendName})`, () => {
  it("of a mock device is of a type that is not known here", () => {
    expect(device.hwInfo()).toMatchObject({ type: 0xfeedbeef, dataLength: 8, maxPasidLog2: 20 });
    expect(device.hwInfo(0xfeedbeef)).toEqual(device.hwInfo());
    expect(() => device.hwInfo(1)).toThrow(refusal("EOPNOTSUPP", "IOMMU_GET_HW_INFO"));
  });
});

describe.skipIf(lacks.mocks || !laterThan(6, 12))(`a vIOMMU (${backendName})`, () => {
  let viommu: Viommu;

  beforeEach(() => {
    viommu = parent.allocViommu(device, words(SELFTEST, 0xcafe, 0, 0, 0, 0, 0));
  });

  it("takes data of its driver and gives some back, and offers memory to map", () => {
    const view = new DataView(viommu.data.buffer);
    expect(view.getUint32(4, true)).toBe(0xcafe);
    const [offset, length] = [view.getBigUint64(8, true), view.getBigUint64(16, true)];
    expect(length).toBe(2n * PAGE);
    using region = viommu.map(offset, length);
    const bytes = new DataView(region.buffer);
    expect(bytes.getUint32(0, true)).toBe(0xcafe);
    expect(region.readUint32(0n)).toBe(0xcafe);
    region.writeUint32(12n, 0x8765_4321);
    region.writeUint64(16n, 0xfedc_ba98_7654_3210n);
    expect(bytes.getUint32(12, true)).toBe(0x8765_4321);
    expect(region.readUint64(16n)).toBe(bytes.getBigUint64(16, true));
    for (const access of [
      () => region.readUint32(2n),
      () => region.readUint32(length),
      () => region.readUint64(length - 4n),
      () => region.readUint64((1n << 64n) - 8n),
      () => region.writeUint32(0n, -1),
      () => region.writeUint64(0n, 1n << 64n),
    ])
      expect(access).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
    expect(() => viommu.map(offset + PAGE, length)).toThrow(expect.objectContaining({ syscall: "mmap" }));
    expect(() => viommu.map(0n, PAGE)).toThrow(refusal("ENXIO", "mmap"));
  });

  it("is refused on what is no nest parent: EINVAL, of an unknown type: EOPNOTSUPP", () => {
    const plain = ioas.allocHwptSync(device);
    expect(() => plain.allocViommu(device, words(SELFTEST))).toThrow(refusal("EINVAL", "IOMMU_VIOMMU_ALLOC"));
    expect(() => parent.allocViommu(device, "arm-smmuv3")).toThrow(
      refusal("EOPNOTSUPP", "IOMMU_VIOMMU_ALLOC"),
    );
    expect(() => parent.allocViommu(device, 5 as never)).toThrow(RangeError);
  });

  it("keeps its nest parent: EBUSY; closing that closes it, and all that was made from it", () => {
    expect(() => machine.file.destroy(parent.id as ObjectId)).toThrow(refusal("EBUSY", "IOMMU_DESTROY"));
    const vdevice = viommu.allocVdevice(device, 0x99n);
    const nested = parent.allocNestedSync(device, nestedSelftest(1), { viommu });
    device.attachSync(nested);
    const queue = viommu.allocVeventQueue({ type: VEVENTS, depth: 8 });
    parent.close();
    expect([viommu, vdevice, nested, queue].map(({ closed }) => closed)).toEqual(Array(4).fill(true));
    expect(device.attachedTo).toBeUndefined();
  });

  it("has devices by what the guest calls them, each once: EEXIST", () => {
    const second = machine.openDevice();
    const vdevice = viommu.allocVdevice(device, 0x99n);
    expect(vdevice.virtId).toBe(0x99n);
    expect(() => viommu.allocVdevice(device, 0x100n)).toThrow(refusal("EEXIST", "IOMMU_VDEVICE_ALLOC"));
    expect(() => viommu.allocVdevice(second, 0x99n)).toThrow(refusal("EEXIST", "IOMMU_VDEVICE_ALLOC"));
    viommu.allocVdevice(second, 0x100n);
    vdevice.close();
    viommu.allocVdevice(device, 0x99n);
    second.close();
  });

  it("closes a vDEVICE with its device", () => {
    const vdevice = viommu.allocVdevice(device, 1n);
    device.close();
    expect([vdevice.closed, viommu.closed]).toEqual([true, false]);
  });

  it("invalidates caches of its devices, and tells how many entries it handled", () => {
    viommu.allocVdevice(device, 0x99n);
    const cache = () => [0, 1, 2, 3].map((index) => machine.cacheHas(device, index, CACHED));
    const commands = (...triples: number[]) => ({ ...words(SELFTEST, ...triples), entryLength: 12 });
    expect(cache()).toEqual([true, true, true, true]);
    expect(viommu.invalidate(commands(0, 0x99, 2))).toBe(1);
    expect(cache()).toEqual([true, true, false, true]);
    expect(() => viommu.invalidate(commands(0, 0x99, 0, 0, 0x98, 1))).toThrow(
      expect.objectContaining({ code: "EINVAL", request: expect.objectContaining({ index: 1 }) }),
    );
    expect(viommu.invalidate(commands(1, 0x99, 0))).toBe(1);
    expect(cache()).toEqual([false, false, false, false]);
    expect(() => viommu.invalidate([[1n, 2n]]), "commands of an SMMU").toThrow(
      refusal("EINVAL", "IOMMU_HWPT_INVALIDATE"),
    );
  });

  it("tells events in order, and how many were lost", async () => {
    viommu.allocVdevice(device, 0x99n);
    device.attachSync(parent.allocNestedSync(device, nestedSelftest(1), { viommu }));
    const queue = viommu.allocVeventQueue({ type: VEVENTS, depth: 3 });
    const take = async (count: number) => {
      const events: Vevent[] = [];
      for await (const event of queue) if (events.push(event) === count) break;
      return events;
    };
    const data = new Uint8Array([0x99, 0, 0, 0]);
    const event = (sequence: number, lost = 0) => ({ type: VEVENTS.type, sequence, lost, data });
    const waiting = take(1);
    machine.event(device, 2);
    expect(await waiting).toEqual([event(0)]);
    expect(await take(1)).toEqual([event(1)]);
    machine.event(device, 5);
    expect(await take(4)).toEqual([event(2), event(3), event(4), { type: "lost", sequence: 6, lost: 2 }]);
    machine.event(device, 1);
    expect(await take(1)).toEqual([event(7)]);
    machine.event(device, 4);
    expect(await take(4)).toEqual([event(8), event(9), event(10), { type: "lost", sequence: 11, lost: 1 }]);
    queue.close();
    expect(await take(1)).toEqual([]);
  });

  it("gives no event to who has too little room for it: EINVAL", () => {
    viommu.allocVdevice(device, 0x99n);
    device.attachSync(parent.allocNestedSync(device, nestedSelftest(1), { viommu }));
    const queue = machine.file.veventqAlloc(viommu.id, VEVENTS.type, 1);
    machine.event(device, 1);
    expect(() => queue.read(3, 1)).toThrow(
      expect.objectContaining({
        ...{ code: "EINVAL", errno: -22, syscall: "read", request: { dataLength: 3, count: 1 } },
        message: "EINVAL: invalid argument, read dataLength=3 count=1",
      }),
    );
    expect(queue.read(4, 2)).toEqual([{ flags: 0, sequence: 0, data: new Uint8Array([0x99, 0, 0, 0]) }]);
    queue.close();
  });

  it("has one queue of events of a type: EEXIST, of known types and depths: EOPNOTSUPP, EINVAL", () => {
    viommu.allocVeventQueue({ type: VEVENTS, depth: 1 });
    for (const [type, depth, code] of [
      [VEVENTS, 1, "EEXIST"],
      [VEVENTS, 0, "EINVAL"],
      [{ type: 0, dataLength: 0 }, 1, "EOPNOTSUPP"],
    ] as const)
      expect(() => viommu.allocVeventQueue({ type, depth })).toThrow(refusal(code, "IOMMU_VEVENTQ_ALLOC"));
    for (const type of ["smmu", undefined, { type: 1, dataLength: 5000 }] as never[])
      expect(() => viommu.allocVeventQueue({ type, depth: 1 })).toThrow(RangeError);
  });

  it("has hardware queues in the memory of the guest, one after the other", () => {
    ioas.mapSync(machine.iommufd.allocMemory(PAGE), { iova: APERTURE });
    const options = { type: SELFTEST, iova: APERTURE, length: PAGE };
    const alloc = (index: number, more = {}) => viommu.allocHwQueue({ ...options, index, ...more });
    const refused = (code: string) => refusal(code, "IOMMU_HW_QUEUE_ALLOC");
    expect(() => alloc(1)).toThrow(refused("EIO"));
    const first = alloc(0);
    expect(() => alloc(0)).toThrow(refused("EEXIST"));
    const second = alloc(1);
    expect(() => alloc(2)).toThrow(refused("EINVAL"));
    expect(() => alloc(0, { length: 0n })).toThrow(refused("EINVAL"));
    expect(() => alloc(0, { iova: (1n << 64n) - 1n })).toThrow(refused("EOVERFLOW"));
    expect(() => alloc(0, { iova: APERTURE + PAGE })).toThrow(refused("ENOENT"));
    expect(() => alloc(0, { type: "tegra241-cmdqv" })).toThrow(refused("EOPNOTSUPP"));
    // Whole pages are held, and read.
    expect(() => alloc(2, { iova: APERTURE + 8n, length: 16n })).toThrow(refused("EINVAL"));
    expect(() => alloc(2, { iova: APERTURE + 8n })).toThrow(refused("ENOENT"));
    // The memory stays where it is for as long as the hardware uses it.
    expect(() => ioas.unmapSync(APERTURE, PAGE)).toThrow(refusal("EBUSY", "IOMMU_IOAS_UNMAP"));
    expect(() => ioas.unmapSync(APERTURE, PAGE / 2n), "a part").toThrow(refusal("EBUSY", "IOMMU_IOAS_UNMAP"));
    expect(() => first.close(), "the second depends on it").toThrow(refusal("EBUSY", "IOMMU_DESTROY"));
    second.close();
    first.close();
    ioas.unmapSync(APERTURE, PAGE);
  });
});

describe.skipIf(lacks.mocks || !laterThan(6, 12))(`a PASID (${backendName})`, () => {
  it("is none of a device that has none: EINVAL", () => {
    const other = machine.openDevice();
    const hwpt = ioas.allocHwptSync(other, { pasid: true });
    other.attachSync(hwpt);
    expect(() => other.attachSync(hwpt, { pasid: 7 })).toThrow(expect.objectContaining({ code: "EINVAL" }));
    device.attachSync(hwpt);
    expect(device.attachSync(hwpt, { pasid: 7 })).toBe(hwpt.id);
  });

  it("is attached, replaced and detached, of the device that has it", async () => {
    const one = ioas.allocHwptSync(device, { pasid: true });
    const two = machine.iommufd.allocIoas().allocHwptSync(device, { pasid: true });
    device.attachSync(one);
    device.attachSync(one, { pasid: 7 });
    expect(machine.pasidIsAttachedTo(device, 7, one.id)).toBe(true);
    await device.attach(two, { pasid: 7 });
    expect(machine.pasidIsAttachedTo(device, 7, two.id)).toBe(true);
    expect(device.attachedTo).toBe(one);
    device.detach({ pasid: 7 });
    expect(machine.pasidIsAttachedTo(device, 7, 0)).toBe(true);
    device.attachSync(two, { pasid: (1 << 20) - 1 });
    two.close();
    expect(device.attachedPasids.size).toBe(0);
  });
});
