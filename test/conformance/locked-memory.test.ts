/**
 * How much memory a program without privileges may pin (RLIMIT_MEMLOCK; drivers/iommu/iommufd/pages.c). The model is of a
 * machine with `memlock`. On the kernel this process sets that limit, and gives up its privileges for a while.
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { IommufdFile, VfioDeviceFile } from "../../lib/backend/backend.ts";
import type { BackendMemory } from "../../lib/backend/handles.ts";
import { softwareMachine } from "../../lib/index.ts";
import type { DeviceId, HwptId, IoasId } from "../../lib/uapi.ts";
import { backendName, FIRST, PAGE, profile, profileOf, machine as usual } from "./backend.ts";
import { lacks } from "./iommus.ts";

const LIMIT = 16n * PAGE;
const FIXED = 7;
const FIXED_READ_ONLY = 5;
const NEST_PARENT = 1;
const NOBODY = 65534;

const onKernel = backendName === "kernel";
const { backend } = onKernel ? usual : softwareMachine({ ...profileOf(profile), memlock: LIMIT });

/** Without CAP_IPC_LOCK and CAP_SYS_RESOURCE. */
function asNobody<Result>(body: () => Result): Result {
  if (!onKernel) return body();
  process.seteuid?.(NOBODY);
  try {
    return body();
  } finally {
    process.seteuid?.(0);
  }
}

function setLimit(limit: string): void {
  if (onKernel) execFileSync("prlimit", ["--pid", String(process.pid), `--memlock=${limit}`]);
}

let file: IommufdFile;
let device: VfioDeviceFile;
let deviceId: DeviceId;
let ioasId: IoasId;
let memory: BackendMemory;

/** The limit before, soft and hard, which the process may share with other tests. */
const before = onKernel
  ? /^Max locked memory +(\w+) +(\w+)/m.exec(readFileSync("/proc/self/limits", "utf8"))
  : null;

beforeAll(() => setLimit(`${LIMIT}:${LIMIT}`));
afterAll(() => setLimit(`${before?.[1]}:${before?.[2]}`));

beforeEach(() => {
  file = backend.openIommufd();
  device = backend.openVfioDevice(backend.findVfioDevice(FIRST).cdev);
  deviceId = device.bindIommufd(file);
  ioasId = file.ioasAlloc();
  memory = backend.allocMemory({ length: 64n * PAGE, pageSize: PAGE, anonymous: false });
});

afterEach(() => {
  device.close();
  file.close();
  memory.close();
});

const refusal = (code: string) => expect.objectContaining({ code });

function map(iovaPage: number, pages: bigint, { offset = 0n, flags = FIXED } = {}): bigint {
  const request = { ioasId, flags, memory, offset, length: pages * PAGE, iova: BigInt(iovaPage) * PAGE };
  return asNobody(() => file.ioasMapSync(request));
}

function copy(fromPage: number, toPage: number, pages = 1n): bigint {
  const [sourceIova, destinationIova] = [BigInt(fromPage) * PAGE, BigInt(toPage) * PAGE];
  const request = { destinationId: ioasId, sourceId: ioasId, flags: FIXED, length: pages * PAGE };
  return asNobody(() => file.ioasCopySync({ ...request, sourceIova, destinationIova }));
}

const unmap = (page: number, pages = 1n) => file.ioasUnmapSync(ioasId, BigInt(page) * PAGE, pages * PAGE);

describe(`locked memory (${backendName})`, () => {
  it("is what is mapped for a device: ENOMEM beyond the limit, whole or not at all", () => {
    device.attachIommufdPtSync(ioasId);
    map(0, 10n);
    expect(() => map(10, 7n)).toThrow(refusal("ENOMEM"));
    map(10, 6n);
    expect(() => map(16, 1n)).toThrow(refusal("ENOMEM"));
    unmap(10, 6n);
    map(16, 6n);
  });

  it("is charged by the page", () => {
    device.attachIommufdPtSync(ioasId);
    map(0, 14n);
    expect(() => map(32, 2n, { offset: 0x800n })).toThrow();
    unmap(0, 14n);
    map(32, 16n);
    expect(() => map(0, 1n)).toThrow(refusal("ENOMEM"));
  });

  it("is charged once for copies, and until the last of them goes", () => {
    device.attachIommufdPtSync(ioasId);
    map(0, 10n);
    for (let index = 0; index < 20; index++) copy(3, 100 + index);
    copy(2, 200, 4n);
    unmap(0, 10n);
    // Four pages are left, which the copies have.
    expect(() => map(0, 13n)).toThrow(refusal("ENOMEM"));
    map(0, 12n);
    unmap(200, 4n);
    expect(() => map(20, 4n), "one of them has other copies").toThrow(refusal("ENOMEM"));
    map(20, 3n);
  });

  it("is charged for each time that it is mapped", () => {
    device.attachIommufdPtSync(ioasId);
    map(0, 8n);
    map(8, 8n);
    expect(() => map(16, 1n)).toThrow(refusal("ENOMEM"));
  });

  it("is charged with the first page table, and given back with the last", () => {
    map(0, 20n);
    expect(() => asNobody(() => device.attachIommufdPtSync(ioasId))).toThrow(refusal("ENOMEM"));
    unmap(0, 20n);
    map(0, 16n);
    copy(0, 64, 16n);
    const alloc = () => asNobody(() => file.hwptAllocSync({ deviceId, ptId: ioasId, flags: 0 }));
    const [one, two] = [alloc(), alloc()] as [HwptId, HwptId];
    expect(() => map(32, 1n)).toThrow(refusal("ENOMEM"));
    file.destroy(one);
    expect(() => map(32, 1n)).toThrow(refusal("ENOMEM"));
    file.destroy(two);
    map(32, 1n);
    expect(alloc).toThrow(refusal("ENOMEM"));
  });

  it.skipIf(lacks.erratum)("runs out before the mapping behind it is looked at", () => {
    map(0, 32n);
    map(32, 1n, { flags: FIXED_READ_ONLY });
    const nestParent = () => file.hwptAllocSync({ deviceId, ptId: ioasId, flags: NEST_PARENT });
    expect(() => asNobody(nestParent)).toThrow(refusal("ENOMEM"));
    unmap(0, 32n);
    expect(() => asNobody(nestParent)).toThrow(refusal("EINVAL"));
  });
});

describe(`IOMMU_OPTION_RLIMIT_MODE (${backendName})`, () => {
  const set = (value: bigint) => {
    const fresh = backend.openIommufd();
    try {
      return asNobody(() => fresh.option({ optionId: 0, op: 0, objectId: 0, value }));
    } finally {
      fresh.close();
    }
  };

  it("is not changed without CAP_SYS_RESOURCE: EPERM", () => {
    for (const value of [0n, 1n, 2n]) expect(() => set(value)).toThrow(refusal("EPERM"));
    expect(() => asNobody(() => file.option({ optionId: 0, op: 0, objectId: 0, value: 1n }))).toThrow(
      refusal("EPERM"),
    );
    expect(asNobody(() => file.option({ optionId: 0, op: 1, objectId: 0, value: 0n }))).toBe(0n);
    expect(() => asNobody(() => file.option({ optionId: 0, op: 0, objectId: 1, value: 0n }))).toThrow(
      refusal("EOPNOTSUPP"),
    );
  });
});
