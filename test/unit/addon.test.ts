/**
 * The addon's own surface, on files other than an iommufd: what it refuses before it calls the kernel, and how it
 * passes on what the kernel answers. The kernel lane shows what the ioctls do.
 */

import { closeSync, fstatSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { types } from "node:util";
import { describe, expect, it } from "vitest";
import {
  loadAddon,
  type NativeIommufdFile,
  type NativeMemory,
  type NativeVfioDeviceFile,
} from "../../lib/backend/kernel/addon.ts";
import { KernelBackend } from "../../lib/backend/kernel/kernel-backend.ts";
import { wrap } from "../../lib/backend/wrapper.ts";

const ENOENT = -2;
const EBADF = -9;
const ENOMEM = -12;
const ENODEV = -19;
const ENOTTY = -25;

describe.runIf(process.platform === "linux")("the addon", () => {
  const addon = loadAddon();
  const iommufd = addon.openIommufd("/dev/null") as NativeIommufdFile;
  const memory = addon.allocMemory(8192n, 4096n, false) as NativeMemory;

  it("opens files, or says -errno", () => {
    expect(typeof iommufd).toBe("object");
    expect(addon.openIommufd("/dev/no-such-file")).toBe(ENOENT);
    expect(addon.openVfioDevice("/dev/no-such-file")).toBe(ENOENT);
  });

  it("passes on what the kernel answers to every ioctl: /dev/null knows none", async () => {
    const device = addon.openVfioDevice("/dev/null");
    if (typeof device === "number") throw new Error(`open: ${device}`);
    const data = new Uint8Array(24);
    const eventFd = addon.createEventFd();
    if (typeof eventFd === "number") throw new Error(`eventfd: ${eventFd}`);
    const answers = [
      iommufd.destroy(1),
      iommufd.ioasAlloc(),
      iommufd.ioasAllowIovas(1, new BigUint64Array(4)),
      iommufd.ioasChangeProcess(),
      iommufd.ioasCopySync(1, 2, 7, 4096n, 0n, 0n),
      await iommufd.ioasCopy(1, 2, 7, 4096n, 0n, 0n),
      iommufd.ioasMapFileSync(1, 7, memory.fd(), 0n, 4096n, 0n),
      await iommufd.ioasMapFile(1, 7, memory.fd(), 0n, 4096n, 0n),
      iommufd.option(0, 1, 0, 0n),
      iommufd.vfioIoas(0, 0),
      iommufd.ioasIovaRanges(1),
      iommufd.ioasMapSync(1, 7, memory, 0n, 8192n, 0n),
      await iommufd.ioasMap(1, 7, memory, 0n, 8192n, 0n),
      iommufd.ioasUnmapSync(1, 0n, 4096n),
      await iommufd.ioasUnmap(1, 0n, 4096n),
      iommufd.hwptAllocSync(1, 2, 0, 0, 0, new Uint8Array(0)),
      await iommufd.hwptAlloc(1, 2, 0, 0, 1, data),
      iommufd.hwptSetDirtyTracking(1, true),
      iommufd.hwptGetDirtyBitmapSync(1, 0, 0n, 4096n, 4096n),
      await iommufd.hwptGetDirtyBitmap(1, 0, 0n, 4096n, 4096n),
      iommufd.getHwInfo(1, new ArrayBuffer(56)),
      iommufd.getHwInfo(1, new ArrayBuffer(56), 3),
      iommufd.faultQueueAlloc(),
      iommufd.viommuAlloc(1, 2, 1, data),
      iommufd.vdeviceAlloc(1, 2, 3n),
      iommufd.veventqAlloc(1, 1, 16),
      iommufd.hwQueueAlloc(1, 1, 0, 0n, 4096n),
      device.bindIommufd(iommufd),
      device.attachIommufdPtSync(1),
      await device.attachIommufdPt(1),
      device.attachIommufdPtSync(1, 7),
      device.detachIommufdPt(),
      device.detachIommufdPt(7),
      device.getIrqInfo(0),
      device.setIrqs(0, 1 << 5, 0, 1, [eventFd]),
      device.setIrqs(0, 1 << 5, 0, 0, []),
      device.getInfo(),
      device.getRegionInfo(0),
      device.reset(),
      device.feature(1 << 18, new Uint8Array(4)),
    ];
    expect(answers).toEqual(answers.map(() => ENOTTY));
    expect(iommufd.supports(0x85)).toBe(false);
    expect(iommufd.hwptInvalidate(1, 0, 24, 1, data)).toEqual({ done: 0, status: ENOTTY });
    expect(iommufd.mapRegion(0n, 4096n)).toBe(ENODEV);
    const two = new BigUint64Array(2);
    expect(iommufd.ioasMapManySync(1, 7, memory, two, two, two, true)).toEqual({ done: 0, status: ENOTTY });
    expect(await iommufd.ioasUnmapMany(1, two, two)).toEqual({ done: 0, status: ENOTTY });
    const none = new BigUint64Array(0);
    expect(iommufd.ioasUnmapManySync(1, none, none)).toEqual({ done: 0, status: 0 });
  });

  it("reads, writes and maps at positions, as far as the file can", () => {
    const device = addon.openVfioDevice("/dev/zero") as NativeVfioDeviceFile;
    const target = new Uint8Array([1, 2, 3]);
    expect(device.read(1n << 40n, target)).toBe(3);
    expect([...target]).toEqual([0, 0, 0]);
    expect(device.write(0n, target.subarray(1))).toBe(2);
    const region = device.mapRegion(0n, 8192n, true);
    if (typeof region === "number") throw new Error(`mmap: ${region}`);
    const buffer = region.buffer();
    new Uint8Array(buffer)[8191] = 1;
    device.close();
    expect(region.buffer()).toBe(buffer);
    region.close();
    region.close();
    expect(buffer.byteLength).toBe(0);
    expect(() => region.buffer()).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    const none = addon.openVfioDevice("/dev/null") as NativeVfioDeviceFile;
    expect(none.mapRegion(0n, 4096n, false)).toBe(ENODEV);
    for (const refused of [
      () => none.read(1n << 63n, target),
      () => none.read(0n, new Uint16Array(1) as never),
      () => none.read(0n, new ArrayBuffer(1) as never),
      () => none.write(-1n, target),
      () => none.mapRegion(0n, 4096n, 1 as never),
      () => none.feature(0, new Uint8Array(65537)),
    ]) {
      expect(refused).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_(OUT_OF|INVALID_ARG)/) }),
      );
    }
  });

  it("becomes system errors in the kernel backend", async () => {
    const backend = wrap(new KernelBackend({ iommuPath: "/dev/null" }));
    const file = backend.openIommufd();
    expect(() => file.ioasAlloc()).toThrow(
      expect.objectContaining({
        code: "ENOTTY",
        errno: -25,
        syscall: "IOMMU_IOAS_ALLOC",
        message: "ENOTTY: the kernel does not know this ioctl, IOMMU_IOAS_ALLOC",
      }),
    );
    await expect(file.ioasUnmap(3 as never, 0x1000n, 0x2000n)).rejects.toMatchObject({
      message:
        "ENOTTY: the kernel does not know this ioctl, IOMMU_IOAS_UNMAP ioasId=3 iova=0x1000 length=0x2000",
      request: { ioasId: 3, iova: 0x1000n, length: 0x2000n },
    });
    expect(() => new KernelBackend({ iommuPath: "/dev/no-such-file" }).openIommufd()).toThrow(
      expect.objectContaining({ code: "ENOENT", syscall: "open", request: { path: "/dev/no-such-file" } }),
    );
  });

  const call =
    (method: string, ...values: unknown[]) =>
    () =>
      (iommufd as unknown as Record<string, (...values: unknown[]) => unknown>)[method]?.(...values);

  it.each([
    ["destroy", [-1], RangeError, "id must be an integer from 0 to 4294967295, received -1"],
    ["destroy", [2 ** 32], RangeError, "received 4294967296"],
    ["destroy", [1.5], RangeError, "received 1.5"],
    ["destroy", [Number.NaN], RangeError, "received NaN"],
    ["destroy", ["1"], TypeError, "id must be a number, received '1'"],
    ["destroy", [], TypeError, "id must be a number, received undefined"],
    ["destroy", [Symbol("x")], TypeError, "id must be a number, received a symbol"],
    ["ioasUnmap", [1, 1, 1n], TypeError, "iova must be a bigint, received 1"],
    ["ioasUnmap", [1, -1n, 1n], RangeError, "iova must be a bigint from 0 to 2^64-1, received -1"],
    ["ioasUnmapSync", [1, 0n, 1n << 64n], RangeError, "received 18446744073709551616"],
    ["ioasMap", [1, 7, {}, 0n, 1n, 0n], TypeError, "memory must be a DmaMemory, received an object"],
    ["ioasMapSync", [1, 7, null, 0n, 1n, 0n], TypeError, "memory must be a DmaMemory, received null"],
    [
      "ioasMapSync",
      [1, 7, memory, 8193n, 0n, 0n],
      RangeError,
      "offset must be within the memory, received 8193",
    ],
    ["ioasMapSync", [1, 7, memory, 4096n, 4097n, 0n], RangeError, "length must be within the memory"],
    ["ioasMapSync", [1, 7, memory, 1n, (1n << 64n) - 1n, 0n], RangeError, "length must be within the memory"],
    [
      "ioasAllowIovas",
      [1, new BigInt64Array(2)],
      TypeError,
      "ranges must be a BigUint64Array, received an object",
    ],
    ["ioasAllowIovas", [1, new BigUint64Array(3)], RangeError, "ranges must be pairs of start and last"],
    [
      "ioasMapFile",
      [1, 7, -1, 0n, 0n, 0n],
      RangeError,
      "fd must be an integer from 0 to 4294967295, received -1",
    ],
    ["ioasMapFile", [1, 7, 2 ** 31, 0n, 0n, 0n], RangeError, "fd must be a file descriptor"],
    ["option", [1, 65536, 0, 0n], RangeError, "op must be an integer from 0 to 65535, received 65536"],
    ["supports", [0x7f], RangeError, "number must be from 0x80 to 0x9f, received 127"],
    ["ioasMapMany", [1, 7, memory, [0n]], TypeError, "iovas must be a BigUint64Array, received an object"],
    [
      "ioasMapMany",
      [1, 7, memory, new BigUint64Array(2), new BigUint64Array(2), new BigUint64Array(1), true],
      RangeError,
      "lengths must be as long as iovas",
    ],
    [
      "ioasMapMany",
      [1, 7, memory, new BigUint64Array(1), new BigUint64Array(1), new BigUint64Array(1)],
      TypeError,
      "rollBack must be a boolean",
    ],
    [
      "ioasMapManySync",
      [
        1,
        7,
        memory,
        BigUint64Array.of(0n, 0n),
        BigUint64Array.of(0n, 8192n),
        BigUint64Array.of(1n, 1n),
        true,
      ],
      RangeError,
      "the range at index 1 must be within the memory, received 8192",
    ],
    [
      "ioasUnmapMany",
      [1, new BigUint64Array(1), new BigUint64Array(2)],
      RangeError,
      "lengths must be as long as iovas",
    ],
    ["hwptSetDirtyTracking", [1, 1], TypeError, "enabled must be a boolean, received 1"],
    ["hwptGetDirtyBitmap", [1, 0, 0n, 1n << 63n, 1n], RangeError, "length must be at most 2^33 pages"],
    [
      "hwptGetDirtyBitmap",
      [1, 0, 0n, 1n << 26n, (1n << 40n) + 4096n],
      RangeError,
      "pageSize must be a power",
    ],
    ["hwptGetDirtyBitmapSync", [1, 0, 0n, 4096n, 0n], RangeError, "pageSize must be a power of two"],
    ["hwptGetDirtyBitmapSync", [1, 0, 0n, 0n, 4096n], RangeError, "length must be at least a page"],
    ["getHwInfo", [1, 5], TypeError, "answer must be an ArrayBuffer, received 5"],
    ["getHwInfo", [1, new Uint8Array(64)], TypeError, "answer must be an ArrayBuffer, received an object"],
    ["getHwInfo", [1, new ArrayBuffer(31)], RangeError, "answer must be from 32 bytes to 4 GiB"],
    [
      "getHwInfo",
      [1, new ArrayBuffer(64), -1],
      RangeError,
      "type must be an integer from 0 to 4294967295, received -1",
    ],
    ["hwptAllocSync", [1, 2, 0, 0, 1, 5], TypeError, "data must be a Uint8Array, received 5"],
    ["viommuAlloc", [1, 2, 1, null], TypeError, "data must be a Uint8Array, received null"],
    ["vdeviceAlloc", [1, 2, 3], TypeError, "virtId must be a bigint, received 3"],
    ["veventqAlloc", [1, 2, -1], RangeError, "depth must be an integer from 0 to 4294967295, received -1"],
    ["hwQueueAlloc", [1, 1, 0, 0, 1n], TypeError, "iova must be a bigint, received 0"],
    [
      "hwptInvalidate",
      [1, 0, 24, 2, new Uint8Array(24)],
      RangeError,
      "entries must be as long as count entries of entryLength",
    ],
    ["hwptInvalidate", [1, 0, 2 ** 31, 2 ** 31, new Uint8Array(0)], RangeError, "entries must be as long"],
    ["mapRegion", [1n << 63n, 1n], RangeError, "position must be below 2^63"],
  ])("refuses %s(%o)", (method, values, type, message) => {
    expect(call(method, ...values)).toThrow(type);
    expect(call(method, ...values)).toThrow(message);
  });

  it("takes no more of a driver's data than a page", () => {
    expect(call("hwptAlloc", 1, 2, 0, 0, 1, new Uint8Array(4097))).toThrow("data must be at most 4096 bytes");
  });

  it("takes no other object for its own, and cannot be constructed", () => {
    expect(call("ioasMapSync", 1, 7, iommufd, 0n, 1n, 0n)).toThrow("memory must be a DmaMemory");
    expect(() => iommufd.destroy.call(memory as never, 1)).toThrow(TypeError);
    expect(() => iommufd.destroy.call({} as never, 1)).toThrow(TypeError);
    const Constructor = iommufd.constructor as new (value?: unknown) => unknown;
    expect(() => Constructor.call(iommufd)).toThrow(TypeError);
    // Native parts of other modules must not be taken for one of ours.
    const server = createServer().listen(0);
    const external = (server as unknown as { _handle: { _externalStream: object } })._handle._externalStream;
    server.close();
    expect(types.isExternal(external)).toBe(true);
    for (const handle of [
      iommufd,
      memory,
      addon.createEventFd(),
      addon.duplicateDescriptors([0]),
      addon.openVfioDevice("/dev/null"),
    ]) {
      const maker = (handle as object).constructor;
      for (const value of [undefined, {}, external, handle]) {
        expect(() => Reflect.construct(maker, [value])).toThrow(
          expect.objectContaining({ code: "ERR_ILLEGAL_CONSTRUCTOR" }),
        );
        expect(() => Reflect.construct(maker, [value], class {})).toThrow("Illegal constructor");
      }
    }
  });

  it("passes on what a getter throws, whatever it does meanwhile", () => {
    const device = addon.openVfioDevice("/dev/null") as NativeVfioDeviceFile;
    const list = (get: () => unknown) => Object.defineProperty([0], 0, { get }) as never;
    const throwing = list(() => {
      device.close();
      throw new Error("from the getter");
    });
    expect(() => device.setIrqs(0, 1 << 5, 0, 1, throwing)).toThrow("from the getter");
    expect(() =>
      device.setIrqs(
        0,
        1 << 5,
        0,
        1,
        list(() => addon.createEventFd()),
      ),
    ).toThrow("VfioDeviceFile is closed");
  });

  it("refuses to be used after close, which can be repeated, while a running call ends well", async () => {
    const file = addon.openIommufd("/dev/null") as NativeIommufdFile;
    const running = file.ioasMap(1, 7, memory, 0n, 8192n, 0n);
    file.close();
    file.close();
    await expect(running).resolves.toBe(ENOTTY);
    expect(() => file.ioasAlloc()).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
  });

  it("duplicates descriptors that are handed in, and keeps those that are handed out", () => {
    const fd = openSync("/dev/null", "r+");
    const file = addon.openIommufdFd(fd) as NativeIommufdFile;
    expect(file.fd()).not.toBe(fd);
    closeSync(fd);
    expect(file.ioasAlloc()).toBe(ENOTTY);
    const handedOut = file.fd();
    file.close();
    expect(() => fstatSync(handedOut)).toThrow("EBADF");
    expect(() => file.fd()).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    expect(addon.openIommufdFd(9999)).toBe(EBADF);
    expect(addon.openVfioDeviceFd(9999)).toBe(EBADF);
  });

  it("refuses paths that open() would cut", () => {
    expect(() => addon.openIommufd("/dev/null\0x")).toThrow(RangeError);
    expect(() => addon.openIommufd("")).toThrow(RangeError);
    expect(() => addon.openIommufd(5 as never)).toThrow(TypeError);
  });

  describe("memory", () => {
    it("is page-aligned, zeroed, and detached by closing", () => {
      const own = addon.allocMemory(4096n, 4096n, false) as NativeMemory;
      const buffer = own.buffer();
      expect(buffer.byteLength).toBe(4096);
      expect(new Uint8Array(buffer).every((byte) => byte === 0)).toBe(true);
      expect(own.buffer()).toBe(buffer);
      own.close();
      own.close();
      expect(buffer.byteLength).toBe(0);
      expect(() => own.buffer()).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
      expect(call("ioasMapSync", 1, 7, own, 0n, 0n, 0n)).toThrow("DmaMemory is closed");
    });

    it("cannot be transferred away from its owner", () => {
      const own = addon.allocMemory(4096n, 4096n, false) as NativeMemory;
      const buffer = own.buffer();
      try {
        structuredClone(buffer, { transfer: [buffer] }); // Node.js 20 copies it, later ones throw
      } catch {}
      expect(buffer.byteLength).toBe(4096);
    });

    it("may be larger than an ArrayBuffer can show", () => {
      const large = addon.allocMemory(1n << 40n, 4096n, false) as NativeMemory;
      expect(() => large.buffer()).toThrow("length must be at most 4 GiB");
      large.close();
      expect(addon.allocMemory(1n << 60n, 4096n, false)).toBe(ENOMEM);
    });

    it("is anonymous on request, and prefaulted", async () => {
      const own = addon.allocMemory(1n << 20n, 4096n, true) as NativeMemory;
      expect(own.fd()).toBe(EBADF);
      expect(own.prefaultSync()).toBeUndefined();
      expect(await own.prefault()).toBeUndefined();
      const running = own.prefault();
      own.close();
      expect(await running).toBeUndefined();
      expect(() => own.prefault()).toThrow("DmaMemory is closed");
    });

    it("of huge pages is refused where none are set aside, or is there", () => {
      const own = addon.allocMemory(1n << 40n, 1n << 21n, false);
      expect(typeof own === "number" ? own : -12).toBe(ENOMEM);
      for (const pageSize of [0n, 2048n, 4097n, 12288n])
        expect(() => addon.allocMemory(1n << 20n, pageSize, false)).toThrow(
          "pageSize must be a power of two",
        );
      expect(() => addon.allocMemory(4096n, 1n << 21n, false)).toThrow("length must be a positive multiple");
      expect(() => addon.allocMemory(4096n, 4096n, 1 as never)).toThrow("anonymous must be a boolean");
    });

    it.each([0n, 1n, 4097n, 1n << 63n, -4096n])("of %d bytes is refused", (length) => {
      expect(() => addon.allocMemory(length, 4096n, false)).toThrow(RangeError);
    });
  });
});
