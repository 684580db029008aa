/** Dirty tracking, on a mock device of the kernel: QEMU's emulated VT-d has none. */

import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BackendMemory, IommufdFile } from "../../lib/backend/backend.ts";
import { KernelBackend } from "../../lib/backend/kernel/kernel-backend.ts";
import {
  type DeviceId,
  type HwptId,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_SET,
  type IoasId,
} from "../../lib/backend/uapi.ts";
import { laterThan } from "../conformance/backend.ts";
import { PROJECT } from "../e2e/command.ts";

const DIRTY_TRACKING = 2;
const FIXED_READ_WRITE = 7;
const NO_CLEAR = 1;
/** Where a mock device can translate. */
const APERTURE = 1n << 24n;
const PAGE = 4096n;

let file: IommufdFile;
let memory: BackendMemory;
let ioasId: IoasId;
let hwptId: HwptId;

/** Runs the helper on the iommufd. */
function mock(...args: (string | number | bigint)[]): number {
  const { status, stdout, stderr } = spawnSync(`${PROJECT}build/test/mock-device`, args.map(String), {
    stdio: ["ignore", "pipe", "pipe", file.fd()],
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`mock-device: ${stderr}`);
  return Number(stdout);
}

/** The dirty pages of the mapping, as bits, the first page lowest. */
async function dirty(flags = 0, pageSize = PAGE): Promise<bigint> {
  const request = { hwptId, flags, iova: APERTURE, length: 64n * PAGE, pageSize };
  const bytes = await file.hwptGetDirtyBitmap(request);
  expect(bytes.length).toBe(Number((64n * PAGE) / pageSize / 8n));
  return bytes.reduceRight((bits, byte) => (bits << 8n) | BigInt(byte), 0n);
}

/** DMA writes to pages. */
function write(bits: bigint): void {
  mock("dirty", hwptId, APERTURE, 64n * PAGE, PAGE, bits.toString(16));
}

// Linux 6.12 answers the request for a mock device with EINVAL.
describe.skipIf(!laterThan(6, 12))("dirty tracking", () => {
  beforeEach(() => {
    const backend = new KernelBackend();
    file = backend.openIommufd();
    ioasId = file.ioasAlloc();
    // A bit is of a page table entry: where memory happens to be contiguous, that could be more than a page.
    file.option({ optionId: IOMMU_OPTION_HUGE_PAGES, op: IOMMU_OPTION_OP_SET, objectId: ioasId, value: 0n });
    const deviceId = mock("device", ioasId) as DeviceId;
    hwptId = file.hwptAllocSync({ deviceId, ptId: ioasId, flags: DIRTY_TRACKING });
    memory = backend.allocMemory(64n * PAGE);
    const length = 64n * PAGE;
    file.ioasMapSync({ ioasId, flags: FIXED_READ_WRITE, memory, offset: 0n, length, iova: APERTURE });
  });

  afterEach(() => file.close());

  it("tells exactly the pages that were written to, once", async () => {
    file.hwptSetDirtyTracking(hwptId, true);
    expect(await dirty()).toBe(0n);
    write(0x8000_0000_1234_0001n);
    expect(await dirty()).toBe(0x8000_0000_1234_0001n);
    expect(await dirty()).toBe(0n);
    write(0x2n);
    expect(
      file.hwptGetDirtyBitmapSync({ hwptId, flags: 0, iova: APERTURE, length: 8n * PAGE, pageSize: PAGE }),
    ).toEqual(new Uint8Array([2]));
  });

  it("leaves pages dirty where that is asked for", async () => {
    file.hwptSetDirtyTracking(hwptId, true);
    write(0xf0n);
    expect(await dirty(NO_CLEAR)).toBe(0xf0n);
    expect(await dirty(NO_CLEAR)).toBe(0xf0n);
    expect(await dirty()).toBe(0xf0n);
    expect(await dirty()).toBe(0n);
  });

  it("counts in larger pages too", async () => {
    file.hwptSetDirtyTracking(hwptId, true);
    write(0x8000_0000_0000_0001n);
    expect(await dirty(0, 8n * PAGE)).toBe(0x81n);
  });

  it("forgets what was dirty when it starts anew", async () => {
    file.hwptSetDirtyTracking(hwptId, true);
    write(0xffn);
    file.hwptSetDirtyTracking(hwptId, false);
    file.hwptSetDirtyTracking(hwptId, true);
    expect(await dirty()).toBe(0n);
  });

  it("is refused with unknown flags, and of what is no page table", () => {
    const request = { hwptId, flags: 2, iova: APERTURE, length: PAGE, pageSize: PAGE };
    expect(() => file.hwptGetDirtyBitmapSync(request)).toThrow(
      expect.objectContaining({ code: "EOPNOTSUPP", syscall: "IOMMU_HWPT_GET_DIRTY_BITMAP" }),
    );
    expect(() => file.hwptSetDirtyTracking(ioasId as number as HwptId, true)).toThrow(
      expect.objectContaining({ code: "ENOENT", syscall: "IOMMU_HWPT_SET_DIRTY_TRACKING" }),
    );
  });
});
