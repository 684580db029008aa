/** Many mappings in one call. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DmaMemory, Ioas, Iommufd } from "../../lib/index.ts";
import { backendName, open, PAGE } from "./backend.ts";

let iommufd: Iommufd;
let ioas: Ioas;
let memory: DmaMemory;

beforeEach(() => {
  iommufd = open();
  ioas = iommufd.allocIoas();
  memory = iommufd.allocMemory(1024n * PAGE);
});

afterEach(() => iommufd.close());

/** `count` pages of the memory, each mapped two pages after the one before. */
function pages(count: number) {
  const each = (value: (index: bigint) => bigint) =>
    BigUint64Array.from({ length: count }, (_, i) => value(BigInt(i)));
  return { iovas: each((i) => 2n * i * PAGE), offsets: each((i) => i * PAGE), lengths: each(() => PAGE) };
}

describe(`many mappings at once (${backendName})`, () => {
  it("are made and unmade", async () => {
    const ranges = pages(1000);
    await ioas.mapMany(memory, ranges);
    expect(memory.mappings).toBe(1000);
    await ioas.unmapMany(ranges);
    expect(memory.mappings).toBe(0);
    ioas.mapManySync(memory, ranges, { writable: false });
    ioas.unmapManySync(ranges);
    expect(memory.mappings).toBe(0);
    ioas.mapManySync(memory, pages(0));
  });

  it("stop at the first that is refused, say which, and roll back", async () => {
    ioas.mapSync(memory, { iova: 20n * PAGE, length: PAGE });
    const refused = {
      code: "EEXIST",
      syscall: "IOMMU_IOAS_MAP",
      request: { index: 10, iova: 20n * PAGE, length: PAGE, offset: 10n * PAGE },
    };
    await expect(ioas.mapMany(memory, pages(100))).rejects.toMatchObject(refused);
    expect(memory.mappings).toBe(1);
    expect(() => ioas.mapManySync(memory, pages(100))).toThrow(expect.objectContaining({ code: "EEXIST" }));
    expect(ioas.unmapSync(0n, 1000n * PAGE)).toBe(PAGE);
  });

  it("leave what was mapped, where that is asked for", () => {
    ioas.mapSync(memory, { iova: 20n * PAGE, length: PAGE });
    expect(() => ioas.mapManySync(memory, pages(100), { rollBack: false })).toThrow(
      expect.objectContaining({ code: "EEXIST" }),
    );
    expect(memory.mappings).toBe(11);
    expect(ioas.unmapSync(0n, 20n * PAGE)).toBe(10n * PAGE);
    expect(memory.mappings).toBe(1);
  });

  it("made at once, can be unmapped and copied one by one", () => {
    ioas.mapManySync(memory, pages(10));
    ioas.mapManySync(memory, { ...pages(10), iovas: pages(10).iovas.map((iova) => iova + 64n * PAGE) });
    expect(ioas.unmapSync(2n * PAGE, PAGE)).toBe(PAGE);
    expect(memory.mappings).toBe(19);
    const other = iommufd.allocIoas();
    other.copyFromSync(ioas, { sourceIova: 0n, length: PAGE, iova: 0n });
    expect(memory.mappings).toBe(20);
    ioas.close();
    expect(memory.mappings).toBe(1);
  });

  it("are those of the moment of the call, whatever becomes of the arrays", async () => {
    const ranges = pages(100);
    const mapping = ioas.mapMany(memory, ranges);
    ranges.iovas.fill(0n);
    ranges.lengths.fill(1n);
    await mapping;
    const unmapping = pages(100);
    const unmapped = ioas.unmapMany(unmapping);
    unmapping.iovas.fill(0n);
    await unmapped;
    expect(memory.mappings).toBe(0);
    expect(() => ioas.unmapSync(0n, 1000n * PAGE)).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });

  it("unmapping stops too, with those before it unmapped", async () => {
    ioas.mapManySync(memory, pages(10));
    await expect(ioas.unmapMany(pages(20))).rejects.toMatchObject({
      code: "ENOENT",
      syscall: "IOMMU_IOAS_UNMAP",
      request: { index: 10, iova: 20n * PAGE },
    });
    expect(memory.mappings).toBe(0);
  });

  it("are refused whole where the arguments are wrong", () => {
    const ranges = pages(10);
    expect(() => ioas.mapManySync(memory, { ...ranges, lengths: ranges.lengths.subarray(1) })).toThrow(
      "lengths must be as long as iovas, 10, received 9",
    );
    expect(() => ioas.mapManySync(memory, { ...ranges, offsets: [0n] as never })).toThrow(TypeError);
    ranges.offsets[7] = 1024n * PAGE;
    expect(() => ioas.mapManySync(memory, ranges)).toThrow(/^the range at index 7 must be within the memory/);
    expect(memory.mappings).toBe(0);
  });
});
