/** Address spaces: what IOMMU_IOAS_* and IOMMU_DESTROY answer (drivers/iommu/iommufd/ioas.c, io_pagetable.c). */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Device, DmaMemory, Ioas, Iommufd } from "../../lib/index.ts";
import { backendName, FIRST, open, PAGE, U64_MAX } from "./backend.ts";
import { iommu, LAST, RESERVED } from "./iommus.ts";

let iommufd: Iommufd;
let ioas: Ioas;
let memory: DmaMemory;

beforeEach(() => {
  iommufd = open();
  ioas = iommufd.allocIoas();
  memory = iommufd.allocMemory(16n * PAGE);
});

afterEach(() => iommufd.close());

/** Maps one page read-write. */
function mapPage(iova: bigint, length = PAGE): bigint {
  return ioas.mapSync(memory, { iova, length });
}

describe(`ids (${backendName})`, () => {
  it("are the lowest free ones, from 1", () => {
    const second = iommufd.allocIoas();
    const third = iommufd.allocIoas();
    expect([ioas.id, second.id, third.id]).toEqual([1, 2, 3]);
    second.close();
    ioas.close();
    expect(iommufd.allocIoas().id).toBe(1);
    expect(iommufd.allocIoas().id).toBe(2);
  });

  it("are separate in each iommufd", () => {
    using other = open();
    expect(other.allocIoas().id).toBe(1);
  });
});

describe(`mapping without a device (${backendName})`, () => {
  it("may be anywhere, at any alignment", () => {
    expect(ioas.iovaRanges()).toEqual({ ranges: [{ start: 0n, last: U64_MAX }], alignment: 1n });
    expect(ioas.mapSync(memory, { iova: 3n, offset: 5n, length: 7n })).toBe(3n);
    expect(ioas.mapSync(memory, { iova: 0n, length: 3n })).toBe(0n);
    expect(ioas.unmapSync(0n, 10n)).toBe(10n);
  });

  it("cannot overlap: EEXIST", () => {
    mapPage(PAGE);
    for (const [iova, length] of [
      [PAGE, PAGE],
      [0n, 2n * PAGE],
      [PAGE + 1n, 1n],
      [2n * PAGE - 1n, PAGE],
    ] as const) {
      expect(() => mapPage(iova, length)).toThrow(
        expect.objectContaining({ code: "EEXIST", errno: -17, syscall: "IOMMU_IOAS_MAP" }),
      );
    }
    expect(mapPage(0n)).toBe(0n);
    expect(mapPage(2n * PAGE)).toBe(2n * PAGE);
  });

  it("cannot be empty: EINVAL", () => {
    expect(() => mapPage(0n, 0n)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  it("cannot go past the end: EOVERFLOW", () => {
    expect(() => mapPage(U64_MAX)).toThrow(expect.objectContaining({ code: "EOVERFLOW" }));
    expect(() => mapPage(U64_MAX - PAGE + 1n, 2n * PAGE)).toThrow(
      expect.objectContaining({ code: "EOVERFLOW" }),
    );
    expect(mapPage(U64_MAX - PAGE + 1n)).toBe(U64_MAX - PAGE + 1n);
  });

  it("needs a permission: EINVAL", () => {
    expect(() => ioas.mapSync(memory, { iova: 0n, readable: false, writable: false })).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
  });

  it("gives the error as the asynchronous call does", async () => {
    await ioas.map(memory, { iova: 0n });
    await expect(ioas.map(memory, { iova: 0n })).rejects.toMatchObject({
      code: "EEXIST",
      errno: -17,
      syscall: "IOMMU_IOAS_MAP",
      request: { ioasId: ioas.id, iova: 0n, length: memory.length },
    });
    await expect(ioas.unmap(0n, memory.length)).resolves.toBe(memory.length);
    await expect(ioas.unmap(0n, memory.length)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe(`placing a mapping (${backendName})`, () => {
  it("takes the first hole, and never IOVA 0", () => {
    expect(ioas.mapSync(memory, { length: PAGE })).toBe(PAGE);
    expect(ioas.mapSync(memory, { length: PAGE })).toBe(2n * PAGE);
    ioas.unmapSync(PAGE, PAGE);
    expect(ioas.mapSync(memory, { length: PAGE })).toBe(PAGE);
  });

  it("keeps the offset within the page", () => {
    expect(ioas.mapSync(memory, { offset: 0x123n, length: PAGE })).toBe(PAGE + 0x123n);
  });
});

describe(`unmapping (${backendName})`, () => {
  it("what is not mapped: ENOENT", () => {
    expect(() => ioas.unmapSync(0n, PAGE)).toThrow(
      expect.objectContaining({ code: "ENOENT", syscall: "IOMMU_IOAS_UNMAP" }),
    );
  });

  it("takes all mappings within a range", () => {
    mapPage(PAGE);
    mapPage(3n * PAGE);
    expect(ioas.unmapSync(0n, 8n * PAGE)).toBe(2n * PAGE);
  });

  it("does not split a mapping: ENOENT, and it stays", () => {
    mapPage(0n, 4n * PAGE);
    for (const [iova, length] of [
      [0n, PAGE],
      [PAGE, PAGE],
      [3n * PAGE, 4n * PAGE],
    ] as const) {
      expect(() => ioas.unmapSync(iova, length)).toThrow(expect.objectContaining({ code: "ENOENT" }));
    }
    expect(ioas.unmapSync(0n, 4n * PAGE)).toBe(4n * PAGE);
  });

  it("of a range that ends within a mapping has removed those before it", () => {
    mapPage(0n);
    mapPage(PAGE, 2n * PAGE);
    expect(() => ioas.unmapSync(0n, 2n * PAGE)).toThrow(expect.objectContaining({ code: "ENOENT" }));
    expect(mapPage(0n)).toBe(0n);
    expect(() => mapPage(PAGE)).toThrow(expect.objectContaining({ code: "EEXIST" }));
  });

  it("everything works even where there is nothing", () => {
    mapPage(0n);
    mapPage(7n * PAGE);
    expect(ioas.unmapSync(0n, U64_MAX)).toBe(2n * PAGE);
    expect(ioas.unmapSync(0n, U64_MAX)).toBe(0n);
  });

  it("an empty or impossible range: EINVAL, EOVERFLOW", () => {
    expect(() => ioas.unmapSync(0n, 0n)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => ioas.unmapSync(PAGE, U64_MAX)).toThrow(expect.objectContaining({ code: "EOVERFLOW" }));
    expect(() => ioas.unmapSync(U64_MAX, 1n)).toThrow(expect.objectContaining({ code: "EOVERFLOW" }));
    expect(() => ioas.unmapSync(U64_MAX - 1n, 8n)).toThrow(expect.objectContaining({ code: "EOVERFLOW" }));
  });
});

describe(`mapping with a device attached (${backendName})`, () => {
  let device: Device;

  beforeEach(() => {
    device = iommufd.openDevice(FIRST);
    device.attachSync(ioas);
  });

  it("is narrowed to what its IOMMU can translate, without the interrupt range", () => {
    expect(ioas.iovaRanges()).toEqual({ ranges: iommu.ranges, alignment: PAGE });
  });

  it("works for reading and writing, read-only and write-only", () => {
    expect(mapPage(0n)).toBe(0n);
    expect(ioas.mapSync(memory, { iova: PAGE, length: PAGE, writable: false })).toBe(PAGE);
    expect(ioas.mapSync(memory, { iova: 2n * PAGE, length: PAGE, readable: false })).toBe(2n * PAGE);
    expect(ioas.unmapSync(0n, 3n * PAGE)).toBe(3n * PAGE);
  });

  it("must be aligned: EINVAL", () => {
    expect(() => mapPage(1n)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => mapPage(0n, PAGE - 1n)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => ioas.mapSync(memory, { iova: 0n, offset: 8n, length: PAGE })).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
  });

  it("cannot be outside the ranges: EINVAL", () => {
    for (const iova of [RESERVED, RESERVED - PAGE, LAST + 1n, 1n << 63n]) {
      expect(() => mapPage(iova, 2n * PAGE), iova.toString(16)).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
    }
    expect(mapPage(LAST + 1n - PAGE)).toBe(LAST + 1n - PAGE);
  });

  it("is widened again by detaching", () => {
    device.detach();
    expect(ioas.iovaRanges()).toEqual({ ranges: [{ start: 0n, last: U64_MAX }], alignment: 1n });
  });

  it("keeps the address space from being destroyed, until closing it detaches the device", () => {
    mapPage(0n);
    ioas.close();
    expect(device.attachedTo).toBeUndefined();
    expect(iommufd.allocIoas().id).toBe(1);
  });
});

describe(`attaching to an address space with mappings (${backendName})`, () => {
  it("that are in a reserved range: EADDRINUSE", () => {
    mapPage(RESERVED);
    const device = iommufd.openDevice(FIRST);
    expect(() => device.attachSync(ioas)).toThrow(
      expect.objectContaining({ code: "EADDRINUSE", syscall: "VFIO_DEVICE_ATTACH_IOMMUFD_PT" }),
    );
    expect(device.attachedTo).toBeUndefined();
    ioas.unmapSync(RESERVED, PAGE);
    expect(device.attachSync(ioas)).toBe(3);
  });

  it("that are past the aperture: EADDRINUSE", () => {
    mapPage(LAST + 1n);
    expect(() => iommufd.openDevice(FIRST).attachSync(ioas)).toThrow(
      expect.objectContaining({ code: "EADDRINUSE" }),
    );
  });

  it("that are not aligned: EADDRINUSE", () => {
    mapPage(8n, 8n);
    expect(() => iommufd.openDevice(FIRST).attachSync(ioas)).toThrow(
      expect.objectContaining({ code: "EADDRINUSE" }),
    );
    expect(ioas.iovaRanges().alignment).toBe(1n);
  });
});
