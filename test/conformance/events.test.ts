/**
 * Fault queues, invalidations, vIOMMUs, PASIDs and interrupts, as far as QEMU's VT-d and edu have them; the rest is
 * shown on the kernel's mock devices (drivers/iommu/iommufd/eventq.c, viommu.c, hw_pagetable.c; drivers/vfio/pci).
 */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IommufdFile } from "../../lib/backend/backend.ts";
import { type Device, type Hwpt, type Ioas, Iommufd } from "../../lib/index.ts";
import type { DeviceId, FaultQueueId, HwptId, ViommuId } from "../../lib/uapi.ts";
import { backendName, FIRST, laterThan, machine, PAGE, U64_MAX } from "./backend.ts";
import { iommu, lacks } from "./iommus.ts";

const GUEST = { type: "vtd-s1", flags: 0n, pgtblAddr: 0x1000n, addrWidth: 48 } as const;
const FAULT_ID_VALID = 4;

let file: IommufdFile;
let iommufd: Iommufd;
let device: Device;
let ioas: Ioas;

beforeEach(() => {
  file = machine.backend.openIommufd();
  iommufd = new Iommufd(machine, file);
  device = iommufd.openDevice(FIRST);
  ioas = iommufd.allocIoas();
});

afterEach(() => iommufd.close());

const refusal = (code: string, syscall: string) => expect.objectContaining({ code, syscall });

describe(`a fault queue (${backendName})`, () => {
  it("is allocated with an id, has nothing at first, and ends its loops when it is closed", async () => {
    const queue = iommufd.allocFaultQueue();
    expect(queue.id).toBe(3);
    const groups: unknown[] = [];
    const loops = [0, 1].map(async () => {
      for await (const group of queue) groups.push(group);
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    queue.close();
    await Promise.all(loops);
    expect(groups).toEqual([]);
    for await (const group of queue) groups.push(group);
    expect(groups).toEqual([]);
    expect(iommufd.allocIoas().id).toBe(3);
  });

  it("is not destroyed under its descriptor: EBUSY", () => {
    const queue = file.faultQueueAlloc();
    expect(() => file.destroy(queue.id)).toThrow(refusal("EBUSY", "IOMMU_DESTROY"));
    expect(queue.read(1)).toEqual([]);
    for (const code of [0, 2])
      expect(() => queue.respond(1, code)).toThrow(
        expect.objectContaining({
          ...{ code: "EINVAL", errno: -22, syscall: "write", request: { cookie: 1, code } },
          message: `EINVAL: invalid argument, write cookie=1 code=${code}`,
        }),
      );
    queue.close();
    queue.close();
    file.destroy(queue.id);
    expect(() => file.destroy(queue.id)).toThrow(refusal("ENOENT", "IOMMU_DESTROY"));
  });

  it.skipIf(!laterThan(6, 12))("is closed after the page tables that refer to it", () => {
    const queue = iommufd.allocFaultQueue();
    const hwpt = ioas.allocHwptSync(device, { faultQueue: queue });
    queue.close();
    expect(hwpt.closed).toBe(true);
    expect(iommufd.allocIoas().id).toBe(3);
  });

  it.skipIf(!laterThan(6, 12))(
    "that is not there takes no faults: ENOENT, and nothing is left; nor can a nest parent have one: EOPNOTSUPP",
    () => {
      const request = {
        deviceId: device.id,
        ptId: ioas.id,
        flags: FAULT_ID_VALID,
        faultId: 99 as FaultQueueId,
      };
      expect(() => file.hwptAllocSync(request)).toThrow(refusal("ENOENT", "IOMMU_HWPT_ALLOC"));
      expect(() => file.hwptAllocSync({ ...request, faultId: ioas.id as number as FaultQueueId })).toThrow(
        refusal("ENOENT", "IOMMU_HWPT_ALLOC"),
      );
      expect(ioas.iovaRanges().alignment).toBe(1n);
      const faultQueue = iommufd.allocFaultQueue();
      expect(() => ioas.allocHwptSync(device, { faultQueue, nestParent: true })).toThrow(
        refusal("EOPNOTSUPP", "IOMMU_HWPT_ALLOC"),
      );
    },
  );

  it.skipIf(lacks.faultQueueCheck || !laterThan(6, 12))(
    "is of use only to a device that sends page requests: ENODEV",
    () => {
      const hwpt = ioas.allocHwptSync(device, { faultQueue: iommufd.allocFaultQueue() });
      expect(() => device.attachSync(hwpt)).toThrow(
        expect.objectContaining({ syscall: "VFIO_DEVICE_ATTACH_IOMMUFD_PT", code: "ENODEV" }),
      );
    },
  );
});

describe.skipIf(lacks.vtdNesting)(`a nested page table (${backendName})`, () => {
  let nested: Hwpt;
  let parent: Hwpt;

  beforeEach(() => {
    parent = ioas.allocHwptSync(device, { nestParent: true });
    nested = parent.allocNestedSync(device, GUEST);
  });

  it("is invalidated: parts, leaves, everything, nothing", () => {
    device.attachSync(nested);
    expect(nested.invalidate([{ address: 0x1000n, pages: 16n }])).toBe(1);
    expect(
      nested.invalidate([
        { address: 0n, pages: 1n, leaf: true },
        { address: 0n, pages: U64_MAX },
      ]),
    ).toBe(2);
    expect(nested.invalidate([])).toBe(0);
  });

  it("says how many entries were handled before the one that was refused: EINVAL", () => {
    const good = { address: 0x1000n, pages: 1n };
    expect(() => nested.invalidate([good, good, { address: 0x1001n, pages: 1n }, good])).toThrow(
      expect.objectContaining({
        code: "EINVAL",
        syscall: "IOMMU_HWPT_INVALIDATE",
        request: expect.objectContaining({ index: 2 }),
      }),
    );
    expect(() => nested.invalidate([{ address: 0x1000n, pages: U64_MAX }])).toThrow(
      expect.objectContaining({ code: "EINVAL", request: expect.objectContaining({ index: 0 }) }),
    );
  });

  it("takes entries of its own IOMMU only: EINVAL, unknown flags: EOPNOTSUPP", () => {
    const outcome = (dataType: number, entryLength: number, count: number, fill = 0) => {
      const entries = new Uint8Array(entryLength * count).fill(fill);
      const { done, error } = file.hwptInvalidate({ id: nested.id, dataType, entryLength, count, entries });
      return [done, error?.code];
    };
    expect(outcome(0, 24, 3)).toEqual([3, undefined]);
    expect(outcome(0, 0, 0)).toEqual([0, undefined]);
    expect(outcome(1, 0, 0)).toEqual([0, "EINVAL"]);
    expect(outcome(1, 24, 1)).toEqual([0, "EINVAL"]);
    expect(outcome(0, 16, 1)).toEqual([0, "EINVAL"]);
    expect(outcome(0, 32, 1)).toEqual([0, "EINVAL"]);
    expect(outcome(0, 24, 1, 0xff)).toEqual([0, "EOPNOTSUPP"]);
  });

  it("is what is invalidated, not its parent: EINVAL; nor what is not there: ENOENT", () => {
    // Linux 6.12 looks for nothing but nested HWPTs.
    const code = laterThan(6, 12) ? "EINVAL" : "ENOENT";
    expect(() => parent.invalidate([])).toThrow(refusal(code, "IOMMU_HWPT_INVALIDATE"));
    const none = { id: 99 as HwptId, dataType: 0, entryLength: 0, count: 0, entries: new Uint8Array(0) };
    expect(file.hwptInvalidate(none)).toEqual({
      done: 0,
      error: refusal("ENOENT", "IOMMU_HWPT_INVALIDATE"),
    });
  });

  it("takes data of its own IOMMU only: EOPNOTSUPP, of the right length: EINVAL", () => {
    const alloc = (type: number, length: number) => () =>
      parent.allocNestedSync(device, { type, bytes: new Uint8Array(length).fill(length === 24 ? 0 : 1) });
    expect(alloc(1, 24)).not.toThrow();
    for (const [type, length, code] of [
      [2, 16, "EOPNOTSUPP"],
      [3, 32, "EOPNOTSUPP"],
      [1, 16, "EINVAL"],
      [1, 32, "EINVAL"],
      [1, 0, "EINVAL"],
      [0, 24, "EINVAL"],
      [0, 0, "EOPNOTSUPP"],
    ] as const) {
      expect(alloc(type, length), `type ${type}, ${length} bytes`).toThrow(refusal(code, "IOMMU_HWPT_ALLOC"));
    }
  });
});

describe.skipIf(!laterThan(6, 12))(`a vIOMMU (${backendName})`, () => {
  it.skipIf(lacks.vtdNesting)("is none of VT-d's: EOPNOTSUPP", () => {
    const parent = ioas.allocHwptSync(device, { nestParent: true });
    for (const type of ["arm-smmuv3", "tegra241-cmdqv", { type: 0, bytes: new Uint8Array(0) }] as const)
      expect(() => parent.allocViommu(device, type)).toThrow(refusal("EOPNOTSUPP", "IOMMU_VIOMMU_ALLOC"));
    const arm = { type: 1, bytes: new Uint8Array(0) };
    expect(() => file.viommuAlloc({ deviceId: 99 as DeviceId, hwptId: parent.id, ...arm })).toThrow(
      refusal("ENOENT", "IOMMU_VIOMMU_ALLOC"),
    );
  });

  it("that is not there has neither devices nor queues: ENOENT, once the request makes sense", () => {
    const none = 99 as ViommuId;
    expect(() => file.vdeviceAlloc(none, device.id, 1n)).toThrow(refusal("ENOENT", "IOMMU_VDEVICE_ALLOC"));
    for (const [type, depth, code] of [
      [0, 16, "EOPNOTSUPP"],
      [1, 0, "EINVAL"],
      [1, (1 << 19) + 1, "EINVAL"],
      [1, 1 << 19, "ENOENT"],
    ] as const)
      expect(() => file.veventqAlloc(none, type, depth)).toThrow(refusal(code, "IOMMU_VEVENTQ_ALLOC"));
    for (const [type, iova, length, code] of [
      [0, 0n, PAGE, "EOPNOTSUPP"],
      [1, 0n, 0n, "EINVAL"],
      [1, U64_MAX, 2n, "EOVERFLOW"],
      [1, U64_MAX, 1n, "ENOENT"],
    ] as const)
      expect(() => file.hwQueueAlloc({ viommuId: none, type, index: 0, iova, length })).toThrow(
        refusal(code, "IOMMU_HW_QUEUE_ALLOC"),
      );
    expect(() => file.mapRegion(0n, PAGE)).toThrow(refusal("ENXIO", "mmap"));
  });
});

describe.skipIf(!laterThan(6, 12))(`hardware information (${backendName})`, () => {
  it("can be asked for by type: EOPNOTSUPP for one that the IOMMU has not", () => {
    const { type: its } = iommu.hwInfo;
    expect(device.hwInfo(its)).toEqual(device.hwInfo());
    expect(device.hwInfo(0)).toEqual(device.hwInfo());
    for (const type of [1, 2, 3, 4, 0xffff_ffff].filter((each) => each !== its))
      expect(() => device.hwInfo(type)).toThrow(refusal("EOPNOTSUPP", "IOMMU_GET_HW_INFO"));
  });
});

describe.skipIf(lacks.pasid || !laterThan(6, 12))(`a PASID (${backendName})`, () => {
  it("is attached to page tables for it only: EINVAL", () => {
    const plain = ioas.allocHwptSync(device);
    const compatible = ioas.allocHwptSync(device, { pasid: true });
    expect(() => device.attachSync(plain, { pasid: 7 })).toThrow(
      refusal("EINVAL", "VFIO_DEVICE_ATTACH_IOMMUFD_PT"),
    );
    expect(() => device.attachSync(ioas, { pasid: 7 })).toThrow(
      refusal("EINVAL", "VFIO_DEVICE_ATTACH_IOMMUFD_PT"),
    );
    device.attachSync(plain);
    expect(() => device.attachSync(compatible, { pasid: 7 })).toThrow(
      refusal("EINVAL", "VFIO_DEVICE_ATTACH_IOMMUFD_PT"),
    );
    device.detach({ pasid: 7 });
    expect(device.attachedTo).toBe(plain);
  });

  it("is attached beside the device, replaced and detached", async () => {
    const one = ioas.allocHwptSync(device, { pasid: true });
    const two = iommufd.allocIoas().allocHwptSync(device, { pasid: true });
    device.attachSync(one);
    expect(device.attachSync(one, { pasid: 7 })).toBe(one.id);
    expect(await device.attach(two, { pasid: 7 })).toBe(two.id);
    expect(device.attachedPasids).toEqual(new Map([[7, two]]));
    expect(two.devices).toEqual([device]);
    const plain = ioas.allocHwptSync(device);
    expect(() => device.attachSync(plain), "beside a PASID").toThrow(
      refusal("EINVAL", "VFIO_DEVICE_ATTACH_IOMMUFD_PT"),
    );
    two.close();
    expect(device.attachedPasids.size).toBe(0);
    device.attachSync(one, { pasid: 8 });
    one.close();
    expect([device.attachedTo, device.attachedPasids.size]).toEqual([undefined, 0]);
  });
});

describe.skipIf(lacks.pasid || !laterThan(6, 12))(
  `a PASID of a device that has none (${backendName})`,
  () => {
    it("is attached without the driver being asked: a fault queue is no obstacle", () => {
      expect(device.hwInfo().maxPasidLog2).toBe(0);
      const hwpt = ioas.allocHwptSync(device, { faultQueue: iommufd.allocFaultQueue(), pasid: true });
      expect(device.attachSync(hwpt, { pasid: 7 })).toBe(hwpt.id);
    });
  },
);

describe(`a region (${backendName})`, () => {
  it("of VGA is no device's that is not for graphics: EINVAL", () => {
    expect(device.info().numRegions).toBe(9);
    expect(() => device.region(8)).toThrow(refusal("EINVAL", "VFIO_DEVICE_GET_REGION_INFO"));
  });
});

describe(`interrupts (${backendName})`, () => {
  it("are of five kinds, of which a conventional PCI device has four: EINVAL", () => {
    const flags = [0, 1, 2, 4].map((index) => device.interruptInfo(index).flags);
    expect(flags).toEqual([7, 9, 9, 9]);
    for (const index of [3, 5, 0xffff_ffff])
      expect(() => device.interruptInfo(index)).toThrow(refusal("EINVAL", "VFIO_DEVICE_GET_IRQ_INFO"));
  });

  it("that are not there cannot be taken", () => {
    const { count } = device.interruptInfo(2);
    expect(count).toBe(0);
    expect(() => device.enableInterrupts(2)).toThrow(RangeError);
    expect(() => device.enableInterrupts(2, 1)).toThrow(
      "index must be a kind of which the device has interrupts",
    );
    expect(() => device.enableInterrupts(9)).toThrow(refusal("EINVAL", "VFIO_DEVICE_GET_IRQ_INFO"));
  });
});
