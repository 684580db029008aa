/** Dirty tracking, on a mock device: QEMU's emulated VT-d has none. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Hwpt, Ioas } from "../../lib/index.ts";
import type { HwptId } from "../../lib/uapi.ts";
import { backendName, laterThan, PAGE } from "./backend.ts";
import { lacks } from "./iommus.ts";
import { APERTURE, type MockMachine, openMockMachine } from "./mock-machine.ts";

let machine: MockMachine;
let ioas: Ioas;
let hwpt: Hwpt;

/** The dirty pages of the mapping, as bits, the first page lowest. */
async function dirty({ keep = false, pageSize = PAGE } = {}): Promise<bigint> {
  const bytes = await hwpt.readDirtyBitmap({ iova: APERTURE, length: 64n * PAGE, pageSize, keep });
  expect(bytes.length).toBe(Number((64n * PAGE) / pageSize / 8n));
  return bytes.reduceRight((bits, byte) => (bits << 8n) | BigInt(byte), 0n);
}

/** DMA writes to pages. */
function write(bits: bigint): void {
  machine.write(hwpt, APERTURE, bits);
}

describe.skipIf(lacks.mocks || !laterThan(6, 12))(`dirty tracking (${backendName})`, () => {
  beforeEach(() => {
    machine = openMockMachine();
    ioas = machine.iommufd.allocIoas();
    // A bit is of a page table entry: where memory happens to be contiguous, that could be more than a page.
    ioas.hugePages = false;
    hwpt = ioas.allocHwptSync(machine.openDevice(), { dirtyTracking: true });
    ioas.mapSync(machine.iommufd.allocMemory(64n * PAGE), { iova: APERTURE });
  });

  afterEach(() => machine.iommufd.close());

  it("tells exactly the pages that were written to, once", async () => {
    hwpt.setDirtyTracking(true);
    expect(await dirty()).toBe(0n);
    write(0x8000_0000_1234_0001n);
    expect(await dirty()).toBe(0x8000_0000_1234_0001n);
    expect(await dirty()).toBe(0n);
    write(0x2n);
    expect(hwpt.readDirtyBitmapSync({ iova: APERTURE, length: 8n * PAGE, pageSize: PAGE })).toEqual(
      new Uint8Array([2]),
    );
  });

  it("leaves pages dirty where that is asked for", async () => {
    hwpt.setDirtyTracking(true);
    write(0xf0n);
    expect(await dirty({ keep: true })).toBe(0xf0n);
    expect(await dirty({ keep: true })).toBe(0xf0n);
    expect(await dirty()).toBe(0xf0n);
    expect(await dirty()).toBe(0n);
  });

  it("counts in larger pages too", async () => {
    hwpt.setDirtyTracking(true);
    write(0x8000_0000_0000_0001n);
    expect(await dirty({ pageSize: 8n * PAGE })).toBe(0x81n);
  });

  it("forgets what was dirty when it starts anew", async () => {
    hwpt.setDirtyTracking(true);
    write(0xffn);
    hwpt.setDirtyTracking(false);
    hwpt.setDirtyTracking(true);
    expect(await dirty()).toBe(0n);
  });

  it("is refused with unknown flags, and of what is no page table", () => {
    const request = { hwptId: hwpt.id, flags: 2, iova: APERTURE, length: PAGE, pageSize: PAGE };
    expect(() => machine.file.hwptGetDirtyBitmapSync(request)).toThrow(
      expect.objectContaining({ code: "EOPNOTSUPP", syscall: "IOMMU_HWPT_GET_DIRTY_BITMAP" }),
    );
    expect(() => machine.file.hwptSetDirtyTracking(ioas.id as number as HwptId, true)).toThrow(
      expect.objectContaining({ code: "ENOENT", syscall: "IOMMU_HWPT_SET_DIRTY_TRACKING" }),
    );
  });
});
