/** Address spaces, the rest: files, copies, allowed ranges, options (drivers/iommu/iommufd/ioas.c). */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DmaMemory, Ioas, Iommufd, IommufdIoctl } from "../../lib/index.ts";
import { backendName, FIRST, open, PAGE, U64_MAX } from "./backend.ts";
import { LAST, RESERVED } from "./iommus.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });

let iommufd: Iommufd;
let ioas: Ioas;
let memory: DmaMemory;

beforeEach(() => {
  iommufd = open();
  ioas = iommufd.allocIoas();
  memory = iommufd.allocMemory(16n * PAGE);
});

afterEach(() => iommufd.close());

describe(`what the kernel knows (${backendName})`, () => {
  it("is told beforehand", () => {
    for (const ioctl of [
      "IOMMU_DESTROY",
      "IOMMU_IOAS_ALLOC",
      "IOMMU_IOAS_MAP",
      "IOMMU_IOAS_COPY",
      "IOMMU_OPTION",
      "IOMMU_HWPT_ALLOC",
      "IOMMU_GET_HW_INFO",
    ] as const) {
      expect(iommufd.supports(ioctl), ioctl).toBe(true);
    }
  });

  it.each(["ioasMap", "IOMMU_IOAS_MAPP", "VFIO_DEVICE_RESET", "mmap", "toString", undefined])(
    "has no ioctl of iommufd of the name %s",
    (name) => {
      expect(() => iommufd.supports(name as IommufdIoctl)).toThrow(
        expect.objectContaining({
          code: "ERR_OUT_OF_RANGE",
          message: expect.stringMatching(
            /^ioctl must be an ioctl of an iommufd such as "IOMMU_IOAS_MAP", received /,
          ),
        }),
      );
    },
  );
});

describe(`mapping a file (${backendName})`, () => {
  it.skipIf(!supports("IOMMU_IOAS_MAP_FILE"))("is like mapping memory, and holds it as well", async () => {
    expect(ioas.mapFileSync(memory, { iova: PAGE, start: PAGE, length: 2n * PAGE })).toBe(PAGE);
    expect(memory.mappings).toBe(1);
    await expect(ioas.mapFile(memory, { iova: PAGE })).rejects.toMatchObject({
      code: "EEXIST",
      syscall: "IOMMU_IOAS_MAP_FILE",
    });
    await expect(ioas.mapFile(memory)).resolves.toBe(16n * PAGE);
    expect(ioas.unmapSync(0n, U64_MAX)).toBe(18n * PAGE);
    expect(memory.mappings).toBe(0);
  });

  it.skipIf(!supports("IOMMU_IOAS_MAP_FILE"))("checks its arguments in the kernel's order", () => {
    expect(() => ioas.mapFileSync(memory, { length: 0n })).toThrow(code("EINVAL"));
    expect(() => ioas.mapFileSync(memory, { readable: false, writable: false })).toThrow(code("EINVAL"));
    expect(() => ioas.mapFileSync(9999, { length: PAGE })).toThrow(code("EBADF"));
    expect(() => ioas.mapFileSync(9999, { length: 0n })).toThrow(code("EINVAL"));
    expect(() => ioas.mapFileSync(9999, { start: U64_MAX, length: 2n * PAGE })).toThrow(code("EOVERFLOW"));
    expect(() => ioas.mapFileSync(9999)).toThrow("length must be given for a descriptor");
  });

  it.skipIf(!supports("IOMMU_IOAS_MAP_FILE"))("may be of a page table too", () => {
    iommufd.openDevice(FIRST).attachSync(ioas);
    expect(ioas.mapFileSync(memory, { iova: 0n })).toBe(0n);
    expect(() => ioas.mapFileSync(memory, { iova: 1n << 20n, start: 8n, length: PAGE })).toThrow(
      code("EINVAL"),
    );
  });
});

describe(`allowed ranges that touch (${backendName})`, () => {
  /** A range of whole pages, by the number of the first and of the one behind the last. */
  const pages = (from: bigint, to: bigint) => ({ start: from * PAGE, last: to * PAGE - 1n });

  it("are one to automatic placement", () => {
    ioas.allowIovas([pages(8n, 9n), pages(9n, 10n)]);
    expect(ioas.mapSync(memory, { length: 2n * PAGE })).toBe(8n * PAGE);
  });

  it("are one where the memory begins within a page", () => {
    ioas.allowIovas([pages(6n, 0x206n), pages(3n, 6n)]);
    expect(ioas.mapSync(memory, { length: 8n * PAGE, offset: PAGE / 2n })).toBe(3n * PAGE + PAGE / 2n);
  });

  it("are two with one address between them", () => {
    const { start, last } = pages(7n, 8n);
    ioas.allowIovas([{ start, last: last - 1n }, pages(8n, 9n)]);
    expect(ioas.mapSync(memory, { length: PAGE })).toBe(8n * PAGE);
  });
});

describe(`copying (${backendName})`, () => {
  let other: Ioas;

  beforeEach(() => {
    other = iommufd.allocIoas();
    ioas.mapSync(memory, { iova: PAGE, length: 2n * PAGE });
    ioas.mapSync(memory, { iova: 3n * PAGE, length: PAGE, offset: 8n * PAGE });
  });

  it("maps the same memory elsewhere, across mappings that touch", () => {
    expect(other.copyFromSync(ioas, { sourceIova: 2n * PAGE, length: 2n * PAGE, iova: 64n * PAGE })).toBe(
      64n * PAGE,
    );
    expect(memory.mappings).toBe(4);
    ioas.close();
    expect(memory.mappings).toBe(2);
    // These are two mappings, and each can be unmapped.
    expect(other.unmapSync(64n * PAGE, PAGE)).toBe(PAGE);
    expect(memory.mappings).toBe(1);
    expect(other.unmapSync(65n * PAGE, PAGE)).toBe(PAGE);
    expect(memory.mappings).toBe(0);
  });

  it("takes every part of neighbouring mappings, and none that reaches beyond them", () => {
    // Three mappings that touch, of one, two and one pages.
    const memory = iommufd.allocMemory(4n * PAGE);
    const source = iommufd.allocIoas();
    for (const [at, pages] of [
      [0n, 1n],
      [1n, 2n],
      [3n, 1n],
    ] as const)
      source.mapSync(memory, { iova: (at + 1n) * PAGE, offset: at * PAGE, length: pages * PAGE });
    const half = PAGE / 2n;
    for (let start = 0n; start <= 5n * PAGE; start += half) {
      for (let length = half; length <= 5n * PAGE; length += half) {
        const copy = () => ioas.copyFromSync(source, { sourceIova: start, length, iova: 0x100_0000n });
        if (start >= PAGE && start + length <= 5n * PAGE) {
          expect(copy()).toBe(0x100_0000n);
          expect(ioas.unmapSync(0x100_0000n, length)).toBe(length);
        } else {
          expect(copy).toThrow(expect.objectContaining({ code: "ENOENT" }));
        }
      }
    }
  });

  it("is placed by the kernel where no IOVA is given", async () => {
    await expect(other.copyFrom(ioas, { sourceIova: PAGE, length: PAGE })).resolves.toBe(PAGE);
    await expect(other.copyFrom(ioas, { sourceIova: PAGE, length: PAGE })).resolves.toBe(2n * PAGE);
  });

  it("takes any piece of a mapping, to the byte", () => {
    expect(other.copyFromSync(ioas, { sourceIova: PAGE + 5n, length: 7n, iova: 3n })).toBe(3n);
    expect(other.unmapSync(0n, PAGE)).toBe(7n);
  });

  it("works within one address space", () => {
    expect(ioas.copyFromSync(ioas, { sourceIova: PAGE, length: PAGE, iova: 0n })).toBe(0n);
  });

  it("needs all of the range to be mapped: ENOENT", () => {
    for (const [sourceIova, length] of [
      [0n, PAGE],
      [0n, 2n * PAGE],
      [3n * PAGE, 2n * PAGE],
      [100n * PAGE, PAGE],
    ] as const) {
      expect(() => other.copyFromSync(ioas, { sourceIova, length, iova: 0n })).toThrow(code("ENOENT"));
    }
    expect(() => other.copyFromSync(ioas, { sourceIova: PAGE, length: 0n, iova: 0n })).toThrow(
      code("EINVAL"),
    );
    expect(() => other.copyFromSync(ioas, { sourceIova: U64_MAX, length: 1n, iova: 0n })).toThrow(
      code("EOVERFLOW"),
    );
    expect(memory.mappings).toBe(2);
  });

  it("cannot overlap: EEXIST", () => {
    expect(() => ioas.copyFromSync(ioas, { sourceIova: PAGE, length: PAGE, iova: PAGE })).toThrow(
      code("EEXIST"),
    );
  });

  it("gives no permission that the mapping had not: EPERM", () => {
    ioas.mapSync(memory, { iova: 16n * PAGE, length: PAGE, writable: false });
    const copy = { sourceIova: 16n * PAGE, length: PAGE, iova: 0n };
    expect(() => other.copyFromSync(ioas, copy)).toThrow(code("EPERM"));
    expect(other.copyFromSync(ioas, { ...copy, writable: false })).toBe(0n);
  });
});

describe(`allowed ranges (${backendName})`, () => {
  it("are where the kernel places mappings", () => {
    ioas.allowIovas([{ start: 0x10_0000n, last: 0x10_0000n + 2n * PAGE - 1n }]);
    expect(ioas.mapSync(memory, { length: PAGE })).toBe(0x10_0000n);
    expect(ioas.mapSync(memory, { length: PAGE })).toBe(0x10_0000n + PAGE);
    expect(() => ioas.mapSync(memory, { length: PAGE })).toThrow(code("ENOSPC"));
    // A given IOVA may be anywhere.
    expect(ioas.mapSync(memory, { iova: 0n, length: PAGE })).toBe(0n);
    ioas.allowIovas([]);
    expect(ioas.mapSync(memory, { length: PAGE })).toBe(PAGE);
  });

  it("cannot be taken away by a device: EADDRINUSE", () => {
    ioas.allowIovas([{ start: RESERVED, last: RESERVED + PAGE - 1n }]);
    const device = iommufd.openDevice(FIRST);
    expect(() => device.attachSync(ioas)).toThrow(code("EADDRINUSE"));
    ioas.allowIovas([{ start: LAST, last: LAST + 1n }]);
    expect(() => device.attachSync(ioas)).toThrow(code("EADDRINUSE"));
    ioas.allowIovas([{ start: 0n, last: RESERVED - 1n }]);
    device.attachSync(ioas);
    expect(() => ioas.allowIovas([{ start: LAST, last: LAST + 1n }])).toThrow(code("EADDRINUSE"));
  });

  it("must be ranges that do not overlap: EINVAL", () => {
    expect(() => ioas.allowIovas([{ start: 5n, last: 5n }])).toThrow(code("EINVAL"));
    expect(() => ioas.allowIovas([{ start: 5n, last: 4n }])).toThrow(code("EINVAL"));
    expect(() =>
      ioas.allowIovas([
        { start: 0n, last: 9n },
        { start: 9n, last: 12n },
      ]),
    ).toThrow(code("EINVAL"));
  });
});

describe(`options (${backendName})`, () => {
  it("huge pages can be turned off while no page table has mappings: EINVAL", () => {
    expect(ioas.hugePages).toBe(true);
    ioas.hugePages = false;
    expect(ioas.hugePages).toBe(false);
    expect(ioas.iovaRanges().alignment).toBe(PAGE);
    ioas.hugePages = true;
    expect(ioas.iovaRanges().alignment).toBe(1n);
    iommufd.openDevice(FIRST).attachSync(ioas);
    ioas.hugePages = false;
    ioas.hugePages = true;
    ioas.mapSync(memory, { iova: 0n });
    expect(() => {
      ioas.hugePages = false;
    }).toThrow(code("EINVAL"));
  });

  it("huge pages cannot be turned off under a mapping that is not of whole pages: EADDRINUSE", () => {
    ioas.mapSync(memory, { iova: 1n, length: 1n });
    expect(() => {
      ioas.hugePages = false;
    }).toThrow(code("EADDRINUSE"));
    expect(ioas.hugePages).toBe(true);
  });

  it("who is charged can be chosen before there are objects: EBUSY", () => {
    using fresh = open();
    expect(fresh.rlimitMode).toBe("user");
    fresh.rlimitMode = "process";
    expect(fresh.rlimitMode).toBe("process");
    fresh.allocIoas();
    expect(() => {
      fresh.rlimitMode = "user";
    }).toThrow(code("EBUSY"));
  });
});

describe(`the VFIO compatibility interface (${backendName})`, () => {
  it("uses an address space, until it is another or gone", () => {
    expect(iommufd.vfioIoas).toBeUndefined();
    iommufd.setVfioIoas(ioas);
    expect(iommufd.vfioIoas).toBe(ioas.id);
    iommufd.setVfioIoas(undefined);
    expect(iommufd.vfioIoas).toBeUndefined();
    iommufd.setVfioIoas(ioas);
    ioas.close();
    expect(iommufd.vfioIoas).toBeUndefined();
  });
});

describe(`another process (${backendName})`, () => {
  it.skipIf(!supports("IOMMU_IOAS_CHANGE_PROCESS"))(
    "can be charged for files, but not for memory by address: EINVAL",
    () => {
      ioas.mapFileSync(memory, { iova: 0n });
      iommufd.changeProcess();
      ioas.mapSync(memory, { iova: 1n << 20n });
      expect(() => iommufd.changeProcess()).toThrow(code("EINVAL"));
    },
  );
});

/** Tests of features that an older kernel lacks are skipped there. */
function supports(ioctl: Parameters<Iommufd["supports"]>[0]): boolean {
  using probe = open();
  return probe.supports(ioctl);
}
