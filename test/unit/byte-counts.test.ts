/** Lengths and offsets are taken as numbers, too, where a number is exact. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkByteCount } from "../../lib/arguments.ts";
import { Container, Iommufd, readMemoryMap } from "../../lib/index.ts";

describe("a byte count", () => {
  it("is the same as a number and as a bigint", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (count) => {
        expect(checkByteCount(count, "length")).toBe(BigInt(count));
        expect(checkByteCount(BigInt(count), "length")).toBe(BigInt(count));
      }),
    );
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    "is not %s: it would not be exact",
    (count) => {
      expect(() => checkByteCount(count, "length")).toThrow(
        expect.objectContaining({
          code: "ERR_OUT_OF_RANGE",
          message: `length must be an integer from 0 to 2^53-1, or a bigint, received ${count}`,
        }),
      );
    },
  );

  it.each(["1", null, {}, undefined])("is not %j", (value) => {
    expect(() => checkByteCount(value as never, "length")).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }),
    );
  });

  it("is checked as before as a bigint", () => {
    expect(checkByteCount((1n << 64n) - 1n, "length")).toBe((1n << 64n) - 1n);
    for (const value of [-1n, 1n << 64n])
      expect(() => checkByteCount(value, "length")).toThrow("length must be a bigint from 0 to 2^64-1");
  });
});

it("mappings are made, copied and unmapped by numbers as by bigints", async () => {
  using iommufd = Iommufd.open({ profile: "sapphire-rapids" });
  using device = iommufd.openDevice("6a:01.0");
  const memory = iommufd.allocMemory(1 << 20, { pageSize: 4096 });
  expect(memory.length).toBe(1n << 20n);
  const [ioas, other] = [iommufd.allocIoas(), iommufd.allocIoas()];
  expect(ioas.mapSync(memory, { iova: 0x1000n, offset: 4096, length: 8192 })).toBe(0x1000n);
  expect(other.copyFromSync(ioas, { sourceIova: 0x1000n, length: 8192, iova: 0n })).toBe(0n);
  expect(other.unmapSync(0n, 8192)).toBe(8192n);
  expect(await ioas.unmap(0x1000n, 8192)).toBe(8192n);
  expect(() => ioas.mapSync(memory, { offset: 1 << 20, length: 4096 })).toThrow("length must be at most 0");
  const hwpt = ioas.allocHwptSync(device, { dirtyTracking: true });
  ioas.mapSync(memory, { iova: 0n });
  expect(hwpt.readDirtyBitmapSync({ iova: 0n, length: 1 << 20, pageSize: 4096 })).toHaveLength(32);
  const container = new Container(iommufd);
  await container.dmaMap(0n, 4096, memory, 4096);
  await container.dmaUnmap(0n, 4096);
  await expect(async () => container.dmaUnmap(0n, 0.5)).rejects.toThrow("length must be an integer");
});

it("registers are read at offsets that are numbers", () => {
  using iommufd = Iommufd.open({ profile: "sapphire-rapids" });
  using device = iommufd.openDevice("6a:01.0");
  // Regions of the model are empty.
  const config = device.region(7);
  expect(config.read(0, 0)).toEqual(config.read(0n, 0));
  expect(() => config.readUint16(0)).toThrow("offset must be within the region, whose size is 0, received 0");
  expect(() => config.readUint32(-1)).toThrow("offset must be an integer from 0");
  expect(() => config.readUint32(Number.MAX_SAFE_INTEGER)).toThrow("offset must be within the region");
});

describe("readMemoryMap", () => {
  const list = (addressSpace: string) =>
    JSON.stringify({
      schema: "iommufd.sections/1",
      addressSpace,
      sections: [{ start: "0x0", last: "0xfff", type: "ram", region: "r" }],
    });

  it('reads the address space "memory" unless another is named', () => {
    expect(readMemoryMap(list("memory"))).toHaveLength(1);
    expect(readMemoryMap(list("I/O"), { addressSpace: "I/O" })).toHaveLength(1);
    expect(() => readMemoryMap(list("I/O"))).toThrow(/^memory map: no address space "memory"/);
    expect(() => readMemoryMap(list("I/O"), { source: "x.json" })).toThrow(/^x\.json: no address space/);
  });

  it("refuses what was taken before: a name in the place of the options", () => {
    expect(() => readMemoryMap(list("memory"), "memory" as never)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }),
    );
    expect(() => readMemoryMap(list("memory"), { addressSpace: 1 as never })).toThrow(
      "addressSpace must be a string",
    );
    expect(() => readMemoryMap(1 as never)).toThrow("text must be a string");
  });
});
