/** Ownership: what is closed before what, and what happens after. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DmaMemory, type Ioas, Iommufd } from "../../lib/index.ts";

const PAGE = 4096n;

let iommufd: Iommufd;

beforeEach(() => {
  iommufd = Iommufd.open({ profile: "sapphire-rapids" });
});

afterEach(() => iommufd.close());

describe("closing", () => {
  it("an iommufd closes everything made from it", () => {
    const device = iommufd.openDevice("6a:01.0");
    const ioas = iommufd.allocIoas();
    const hwpt = ioas.allocHwptSync(device, { nestParent: true });
    const nested = hwpt.allocNestedSync(device, { type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth: 48 });
    device.attachSync(nested);
    const memory = iommufd.allocMemory(PAGE);
    ioas.mapSync(memory);
    iommufd.close();
    expect([nested, hwpt, ioas, device, iommufd].map(({ closed }) => closed)).toEqual(Array(5).fill(true));
    expect(memory.mappings).toBe(0);
    memory.close();
  });

  it("twice is harmless", () => {
    const device = iommufd.openDevice("6a:01.0");
    const ioas = iommufd.allocIoas();
    const memory = iommufd.allocMemory(PAGE);
    for (const each of [ioas, device, memory, iommufd, ioas, device, memory, iommufd]) each.close();
  });

  it("is what `using` does, in any order of making", () => {
    {
      using ioas = iommufd.allocIoas();
      using device = iommufd.openDevice("6a:01.0");
      using hwpt = ioas.allocHwptSync(device);
      device.attachSync(hwpt);
    }
    expect(iommufd.allocIoas().id).toBe(1);
    expect(iommufd.openDevice("6a:01.0").id).toBe(2);
  });

  it("makes every use after it a clear error", async () => {
    const device = iommufd.openDevice("6a:01.0");
    const ioas = iommufd.allocIoas();
    const hwpt = ioas.allocHwptSync(device);
    const memory = iommufd.allocMemory(PAGE);
    const { buffer } = memory;
    memory.close();
    hwpt.close();
    ioas.close();
    const closed = (name: string) => ({ code: "ERR_IOMMUFD_CLOSED", message: `this ${name} is closed` });
    expect(buffer.byteLength).toBe(0);
    expect(() => memory.buffer).toThrow(expect.objectContaining(closed("DmaMemory")));
    expect(() => ioas.iovaRanges()).toThrow(expect.objectContaining(closed("Ioas")));
    expect(() => ioas.unmapSync(0n, PAGE)).toThrow(expect.objectContaining(closed("Ioas")));
    await expect(ioas.map(iommufd.allocMemory(PAGE))).rejects.toMatchObject(closed("Ioas"));
    expect(() => iommufd.allocIoas().mapSync(memory)).toThrow(expect.objectContaining(closed("DmaMemory")));
    await expect(
      hwpt.allocNested(device, { type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth: 48 }),
    ).rejects.toMatchObject(closed("Hwpt"));
    iommufd.close();
    expect(() => device.hwInfo()).toThrow(expect.objectContaining(closed("Device")));
    expect(() => device.detach()).toThrow(expect.objectContaining(closed("Device")));
    expect(() => iommufd.allocIoas()).toThrow(expect.objectContaining(closed("Iommufd")));
    expect(() => iommufd.openDevice("6a:01.0")).toThrow(expect.objectContaining(closed("Iommufd")));
  });

  it("refuses to attach to what is closed", () => {
    const device = iommufd.openDevice("6a:01.0");
    const ioas = iommufd.allocIoas();
    const hwpt = ioas.allocHwptSync(device);
    hwpt.close();
    expect(() => device.attachSync(hwpt)).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    ioas.close();
    expect(() => device.attachSync(ioas)).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    expect(device.attachedTo).toBeUndefined();
  });
});

describe("objects of another iommufd", () => {
  it("are refused: their ids would name something else here", () => {
    using other = Iommufd.open({ profile: "sapphire-rapids" });
    const device = iommufd.openDevice("6a:01.0");
    const ioas = other.allocIoas();
    expect(() => device.attachSync(ioas)).toThrow("target must be made from the same Iommufd");
    expect(() => ioas.allocHwptSync(device)).toThrow("device must be made from the same Iommufd");
    const hwpt = ioas.allocHwptSync(other.openDevice("6a:01.0"), { nestParent: true });
    expect(() =>
      hwpt.allocNestedSync(device, { type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth: 48 }),
    ).toThrow("device must be made from the same Iommufd");
  });
});

describe("descriptors", () => {
  it("are of the kernel backend only, and the software backend says so", () => {
    const none = expect.objectContaining({ code: "ERR_IOMMUFD_NO_KERNEL_BACKEND" });
    const device = iommufd.openDevice("6a:01.0");
    const memory = iommufd.allocMemory(PAGE);
    for (const ask of [() => iommufd.fd, () => device.fd, () => memory.fd, () => iommufd.openDeviceFile(3)]) {
      expect(ask).toThrow(none);
    }
  });
});

describe("regions of a modelled device", () => {
  it("are there, and empty", () => {
    const device = iommufd.openDevice("6a:01.0");
    expect(device.region(7).info).toEqual({ flags: 0, size: 0n, offset: 7n << 40n });
    // That of VGA is none of theirs.
    expect(() => device.region(8)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => device.region(0).readUint32(0n)).toThrow(
      expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }),
    );
    expect(device.hasFeature(1, "get")).toBe(false);
    device.reset();
    using qemu = Iommufd.open({ profile: "qemu-vtd" });
    expect(() => qemu.openDevice("00:01.0").reset()).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe("memory", () => {
  let ioas: Ioas;
  let memory: DmaMemory;

  beforeEach(() => {
    ioas = iommufd.allocIoas();
    memory = iommufd.allocMemory(4n * PAGE);
  });

  it("is zeroed, and the same buffer each time", () => {
    const bytes = new Uint8Array(memory.buffer);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    bytes[5] = 7;
    expect(new Uint8Array(memory.buffer)[5]).toBe(7);
    expect(memory.buffer).toBe(memory.buffer);
  });

  it("is of the kind that is asked for, or refused", async () => {
    const huge = iommufd.allocMemory(1n << 21n, { backing: "anonymous", pageSize: 1n << 21n });
    expect(huge.pageSize).toBe(1n << 21n);
    await huge.prefault();
    huge.prefaultSync();
    expect(() => ioas.mapFileSync(huge)).toThrow(expect.objectContaining({ code: "EBADF" }));
    huge.close();
    await expect(huge.prefault()).rejects.toMatchObject({ code: "ERR_IOMMUFD_CLOSED" });
    for (const [length, options] of [
      [PAGE, { pageSize: 1n << 21n }],
      [PAGE, { pageSize: 12288n }],
      [PAGE, { pageSize: 2048n }],
      [PAGE, { backing: "file" }],
    ] as const)
      expect(() => iommufd.allocMemory(length, options as never)).toThrow(RangeError);
  });

  it("cannot be closed while it is mapped, in however many places", async () => {
    await ioas.map(memory, { iova: 0n });
    iommufd.allocIoas().mapSync(memory, { iova: 0n, length: PAGE });
    expect(() => memory.close()).toThrow(
      expect.objectContaining({
        code: "ERR_IOMMUFD_MEMORY_IN_USE",
        message: "this DmaMemory is mapped 2 times; unmap it before closing it",
      }),
    );
    expect(memory.buffer.byteLength).toBe(Number(4n * PAGE));
    ioas.unmapSync(0n, 4n * PAGE);
    expect(memory.mappings).toBe(1);
  });

  it("is let go by unmapping more than one mapping at once", () => {
    ioas.mapSync(memory, { iova: 0n, length: PAGE });
    ioas.mapSync(memory, { iova: 2n * PAGE, length: PAGE });
    ioas.mapSync(memory, { iova: 8n * PAGE, length: PAGE });
    ioas.unmapSync(0n, 4n * PAGE);
    expect(memory.mappings).toBe(1);
    ioas.close();
    expect(memory.mappings).toBe(0);
  });

  it("is let go where mapping fails", async () => {
    ioas.mapSync(memory, { iova: 0n });
    expect(() => ioas.mapSync(memory, { iova: 0n })).toThrow();
    await expect(ioas.map(memory, { iova: 0n })).rejects.toThrow();
    expect(memory.mappings).toBe(1);
  });

  it("is let go where the address space was closed while mapping", async () => {
    const mapped = ioas.map(memory, { iova: 0n });
    ioas.close();
    await mapped.catch(() => {});
    expect(memory.mappings).toBe(0);
  });

  it.each([0n, -4096n, 1n, 4097n, 1n << 64n])("of %d bytes is refused", (length) => {
    expect(() => iommufd.allocMemory(length)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
  });
});

describe("wrong arguments", () => {
  it("name the argument and what was passed", () => {
    const ioas = iommufd.allocIoas();
    const memory = iommufd.allocMemory(PAGE);
    // @ts-expect-error an IOVA is a bigint
    expect(() => ioas.mapSync(memory, { iova: 4096 })).toThrow("iova must be a bigint, received 4096");
    expect(() => ioas.mapSync(memory, { iova: -1n })).toThrow(
      "iova must be a bigint from 0 to 2^64-1, received -1",
    );
    expect(() => ioas.mapSync(memory, { offset: 4097n })).toThrow(/^offset must be at most 4096/);
    expect(() => ioas.mapSync(memory, { offset: 1n, length: PAGE })).toThrow(
      "length must be at most 4095, the rest of the memory, received 0x1000",
    );
    // @ts-expect-error only memory of this library can be mapped
    expect(() => ioas.mapSync(new ArrayBuffer(4096))).toThrow(
      /^memory must be a DmaMemory, received ArrayBuffer/,
    );
    // @ts-expect-error an id is no object
    expect(() => ioas.allocHwptSync(1)).toThrow("device must be a Device, received 1");
    // @ts-expect-error memory is no page table
    expect(() => iommufd.openDevice("6a:01.0").attachSync(memory)).toThrow(/^target must be a PageTable/);
    expect(memory.mappings).toBe(0);
  });

  it.each(["", "6a:01", "6a:01.8", "0000:6a:21.0", "../../etc", "6a:01.0\n"])(
    "refuse %j as a device",
    (bdf) => {
      expect(() => iommufd.openDevice(bdf)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
    },
  );

  it("say which devices there are", () => {
    expect(() => iommufd.openDevice("0000:00:1f.0")).toThrow(
      "0000:00:1f.0: no such device in profile sapphire-rapids (there: 0000:6a:01.0, 0000:6a:02.0)",
    );
    expect(iommufd.openDevice("6A:01.0").name).toBe("0000:6a:01.0");
  });
});
