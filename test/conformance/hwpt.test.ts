/** Page tables, devices and hardware information (drivers/iommu/iommufd/hw_pagetable.c, device.c; drivers/vfio). */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Device, decodeHwInfo, type Ioas, Iommufd } from "../../lib/index.ts";
import { backendName, FIRST, laterThan, machine, open, PAGE, SECOND } from "./backend.ts";
import { iommu, LAST, lacks } from "./iommus.ts";

const READ_ONLY = { iova: 0xc_0000n, writable: false } as const;

let iommufd: Iommufd;
let device: Device;
let ioas: Ioas;

beforeEach(() => {
  iommufd = open();
  device = iommufd.openDevice(FIRST);
  ioas = iommufd.allocIoas();
});

afterEach(() => iommufd.close());

describe(`a device (${backendName})`, () => {
  it("is listed and found", () => {
    expect(iommufd.devices()).toEqual([FIRST, SECOND]);
    expect(device.name).toBe(FIRST);
    expect(iommufd.devicePath(FIRST)).toBe("/dev/vfio/devices/vfio0");
    expect(device.id).toBe(1);
  });

  it("tells what it is", () => {
    expect(device.info()).toEqual({ flags: 2, numRegions: 9, numIrqs: 5 });
  });

  it("tells what its IOMMU is", () => {
    const info = device.hwInfo();
    expect({ ...info, data: Buffer.from(info.data).toString("hex") }).toEqual({
      ...iommu.hwInfo,
      dataLength: iommu.hwInfo.data.length / 2,
      maxPasidLog2: 0,
      capabilities: laterThan(6, 12) ? 8n : 0n,
    });
    expect(decodeHwInfo(info).outCapabilities).toEqual(laterThan(6, 12) ? ["PCI_ATS_NOT_SUPPORTED"] : []);
  });

  it.skipIf(lacks.erratum)("tells that it has the erratum", () => {
    expect(decodeHwInfo(device.hwInfo())).toMatchObject({
      type: "intel-vtd",
      flags: ["ERRATA_772415_SPR17"],
      vtd: { capReg: 0xd2008c22260286n, ecapReg: 0x480084f00f4an },
    });
  });

  it("tells it in as many bytes as there is room for, and how many there are", () => {
    using raw = new Iommufd(machine, machine.backend.openIommufd());
    const file = machine.backend.openIommufd();
    const other = machine.backend.openVfioDevice(raw.devicePath(SECOND));
    const id = other.bindIommufd(file);
    const length = iommu.hwInfo.data.length / 2;
    const whole = file.getHwInfo(id, length).data;
    for (let capacity = 0; capacity <= length + 16; capacity++) {
      const { data, dataLength } = file.getHwInfo(id, capacity);
      expect([...data]).toEqual([...whole.slice(0, capacity)]);
      expect(dataLength).toBe(length);
    }
    other.close();
    file.close();
  });

  it("can be bound once: EINVAL", () => {
    expect(() => iommufd.openDevice(FIRST)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "VFIO_DEVICE_BIND_IOMMUFD" }),
    );
    using other = open();
    expect(() => other.openDevice(FIRST)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    device.close();
    expect(other.openDevice(FIRST).id).toBe(1);
  });

  it("can be opened by the path of its character device", () => {
    const second = iommufd.openDeviceFile("/dev/vfio/devices/vfio1");
    expect(second.name).toBe("/dev/vfio/devices/vfio1");
    expect(second.info().numRegions).toBe(9);
    expect(() => iommufd.openDeviceFile("/dev/vfio/devices/vfio77")).toThrow(
      expect.objectContaining({
        ...{ code: "ENOENT", syscall: "open", request: { path: "/dev/vfio/devices/vfio77" } },
        message: "ENOENT: no such object, open path=/dev/vfio/devices/vfio77",
      }),
    );
  });

  it("can be detached without being attached", () => {
    device.detach();
    expect(device.attachedTo).toBeUndefined();
  });

  it("that is not there: a clear error", () => {
    expect(() => iommufd.openDevice("0000:7f:00.0")).toThrow(
      expect.objectContaining({
        code: "ERR_IOMMUFD_NO_DEVICE",
        message: expect.stringContaining("0000:7f:00.0"),
      }),
    );
  });
});

describe(`attaching to an address space (${backendName})`, () => {
  it("makes a page table that goes with the last device", () => {
    const second = iommufd.openDevice(SECOND);
    expect(device.attachSync(ioas)).toBe(4);
    expect(second.attachSync(ioas)).toBe(4);
    device.detach();
    expect(ioas.iovaRanges().alignment).toBe(PAGE);
    second.detach();
    expect(ioas.iovaRanges().alignment).toBe(1n);
    expect(iommufd.allocIoas().id).toBe(4);
  });

  it("is replaced by attaching to another", () => {
    const other = iommufd.allocIoas();
    device.attachSync(ioas);
    device.attachSync(other);
    expect(device.attachedTo).toBe(other);
    expect(ioas.iovaRanges().alignment).toBe(1n);
    expect(other.iovaRanges().alignment).toBe(PAGE);
  });

  it("gives the id of the page table asynchronously too", async () => {
    await expect(device.attach(ioas)).resolves.toBe(3);
  });
});

describe(`a page table (${backendName})`, () => {
  it("is allocated, attached to and destroyed", () => {
    const hwpt = ioas.allocHwptSync(device);
    expect(hwpt.id).toBe(3);
    expect(ioas.iovaRanges().alignment).toBe(PAGE);
    expect(device.attachSync(hwpt)).toBe(3);
    hwpt.close();
    expect(device.attachedTo).toBeUndefined();
    expect(ioas.iovaRanges().alignment).toBe(1n);
  });

  it("is never chosen by itself", () => {
    ioas.allocHwptSync(device);
    expect(device.attachSync(ioas)).toBe(4);
  });

  it("with dirty tracking needs hardware for it: EOPNOTSUPP", () => {
    expect(() => ioas.allocHwptSync(device, { dirtyTracking: true })).toThrow(
      expect.objectContaining({ code: "EOPNOTSUPP", errno: -95, syscall: "IOMMU_HWPT_ALLOC" }),
    );
  });

  it("without dirty tracking has no dirty pages to tell of: EOPNOTSUPP, once the range is one", () => {
    const hwpt = ioas.allocHwptSync(device);
    const unsupported = expect.objectContaining({ code: "EOPNOTSUPP" });
    expect(() => hwpt.setDirtyTracking(true)).toThrow(unsupported);
    expect(() => hwpt.readDirtyBitmapSync({ iova: 0n, length: PAGE })).toThrow(unsupported);
    for (const [iova, length, pageSize, code] of [
      [1n, PAGE, PAGE, "EINVAL"],
      [0n, 1n, PAGE, "EINVAL"],
      [0n, PAGE, 2n * PAGE, "EINVAL"],
      [(1n << 64n) - PAGE, 2n * PAGE, PAGE, "EOVERFLOW"],
    ] as const) {
      expect(() => hwpt.readDirtyBitmapSync({ iova, length, pageSize })).toThrow(
        expect.objectContaining({ code }),
      );
    }
  });

  it("is asked for dirty pages of a size that there is, and for some: else the kernel would write where nobody expects it", () => {
    const hwpt = ioas.allocHwptSync(device);
    for (const [length, pageSize] of [
      [PAGE, 0n],
      [1n << 26n, (1n << 40n) + 4096n],
      [0n, PAGE],
    ] as const) {
      expect(() => hwpt.readDirtyBitmapSync({ iova: 0n, length, pageSize })).toThrow(
        expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }),
      );
    }
  });

  it.skipIf(lacks.pasid || !laterThan(6, 12))("for PASID is allocated", async () => {
    expect((await ioas.allocHwpt(device, { pasid: true })).id).toBe(3);
  });

  it("cannot be allocated over a mapping that it cannot translate: EADDRINUSE", () => {
    ioas.mapSync(iommufd.allocMemory(PAGE), { iova: LAST + 1n });
    expect(() => ioas.allocHwptSync(device)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
  });
});

// Linux loses them: docs/software-backend.md, "Mistakes of Linux".
describe.skipIf(lacks.vtdNesting)(`a replacement that fails (${backendName})`, () => {
  it("within one address space leaves the device attached, and nothing reserved for it", () => {
    const parent = ioas.allocHwptSync(device, { nestParent: true });
    device.attachSync(parent);
    expect(ioas.iovaRanges().ranges).toEqual(iommu.ranges);
    // This IOMMU has no first stage of five levels.
    const guest = { type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth: 57 } as const;
    const nested = parent.allocNestedSync(device, guest);
    expect(() => device.attachSync(nested)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "VFIO_DEVICE_ATTACH_IOMMUFD_PT" }),
    );
    expect(device.attachedTo).toBe(parent);
    expect(ioas.iovaRanges().ranges).toEqual([{ start: 0n, last: LAST }]);
    device.detach();
    device.attachSync(parent);
    expect(ioas.iovaRanges().ranges).toEqual(iommu.ranges);
  });

  it("in another address space changes neither", () => {
    const other = iommufd.allocIoas();
    const parent = other.allocHwptSync(device, { nestParent: true });
    const guest = { type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth: 57 } as const;
    const nested = parent.allocNestedSync(device, guest);
    device.attachSync(ioas);
    expect(() => device.attachSync(nested)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(ioas.iovaRanges().ranges).toEqual(iommu.ranges);
    expect(other.iovaRanges().ranges).toEqual([{ start: 0n, last: LAST }]);
  });
});

describe.skipIf(lacks.erratum)(`ERRATA_772415_SPR17 (${backendName})`, () => {
  it("lets read-only mappings be on a plain page table", () => {
    device.attachSync(ioas.allocHwptSync(device));
    expect(ioas.mapSync(iommufd.allocMemory(PAGE), READ_ONLY)).toBe(0xc_0000n);
  });

  it("refuses a nest parent where there is a read-only mapping: EINVAL, and nothing is left", () => {
    ioas.mapSync(iommufd.allocMemory(PAGE), READ_ONLY);
    expect(() => ioas.allocHwptSync(device, { nestParent: true })).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "IOMMU_HWPT_ALLOC" }),
    );
    expect(ioas.iovaRanges().alignment).toBe(1n);
    ioas.unmapSync(0xc_0000n, PAGE);
    expect(ioas.allocHwptSync(device, { nestParent: true }).id).toBe(3);
  });

  it("refuses a read-only mapping where there is a nest parent: EINVAL, and a writable one beside it succeeds", async () => {
    device.attachSync(await ioas.allocHwpt(device, { nestParent: true }));
    const memory = iommufd.allocMemory(PAGE);
    expect(() => ioas.mapSync(memory, READ_ONLY)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "IOMMU_IOAS_MAP" }),
    );
    expect(ioas.mapSync(memory, { iova: 0xc_0000n })).toBe(0xc_0000n);
  });

  it("does so for all page tables of the address space", () => {
    ioas.allocHwptSync(device);
    ioas.allocHwptSync(device, { nestParent: true });
    expect(() => ioas.mapSync(iommufd.allocMemory(PAGE), READ_ONLY)).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
  });
});

describe.skipIf(lacks.vtdNesting)(`a nested page table (${backendName})`, () => {
  const guest = { type: "vtd-s1", flags: 0n, pgtblAddr: 0x1000n, addrWidth: 48 } as const;

  it("needs a nest parent: EINVAL", () => {
    const plain = ioas.allocHwptSync(device);
    expect(() => plain.allocNestedSync(device, guest)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "IOMMU_HWPT_ALLOC" }),
    );
  });

  it("is allocated on one, attached to, and closed before it", async () => {
    const parent = ioas.allocHwptSync(device, { nestParent: true });
    const nested = await parent.allocNested(device, guest);
    expect(nested.id).toBe(4);
    expect(device.attachSync(nested)).toBe(4);
    parent.close();
    expect(nested.closed).toBe(true);
    expect(ioas.allocHwptSync(device).id).toBe(3);
  });

  it("cannot be attached to with an address width that the IOMMU cannot walk: EINVAL", () => {
    const parent = ioas.allocHwptSync(device, { nestParent: true });
    for (const addrWidth of [0, 39, 57]) {
      const nested = parent.allocNestedSync(device, { ...guest, addrWidth });
      expect(() => device.attachSync(nested), String(addrWidth)).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
      expect(device.attachedTo).toBeUndefined();
    }
  });

  it("with extended access flags needs hardware for them: EINVAL", () => {
    const parent = ioas.allocHwptSync(device, { nestParent: true });
    const nested = parent.allocNestedSync(device, { ...guest, flags: 2n });
    expect(() => device.attachSync(nested)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});
