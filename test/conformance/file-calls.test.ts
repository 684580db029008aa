/** Calls of an iommufd that its objects do not let one make: memory behind the end of a file, no ranges at all, closed files. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IommufdFile } from "../../lib/backend/backend.ts";
import type { BackendMemory } from "../../lib/backend/handles.ts";
import type { IoasId } from "../../lib/uapi.ts";
import { backendName, FIRST, laterThan, machine, PAGE, U64_MAX } from "./backend.ts";

const FIXED = 7;

let file: IommufdFile;
let ioasId: IoasId;

beforeEach(() => {
  file = machine.backend.openIommufd();
  ioasId = file.ioasAlloc();
});

afterEach(() => file.close());

const refusal = (code: string) => expect.objectContaining({ code });

describe.skipIf(!laterThan(6, 12))(`IOMMU_IOAS_MAP_FILE (${backendName})`, () => {
  let memory: BackendMemory;

  beforeEach(() => {
    memory = machine.backend.allocMemory({ length: 16n * PAGE, pageSize: PAGE, anonymous: false });
  });

  afterEach(() => memory.close());

  it("takes a part to the end of 64 bits, and looks at the file after that", () => {
    const request = { ioasId, flags: FIXED, iova: 0n, file: 9999, start: U64_MAX - PAGE + 1n };
    expect(() => file.ioasMapFileSync({ ...request, length: PAGE })).toThrow(refusal("EBADF"));
    expect(() => file.ioasMapFileSync({ ...request, length: PAGE + 1n })).toThrow(refusal("EOVERFLOW"));
  });

  it("is not made for memory that is no file: EBADF, whatever else is wrong", () => {
    const anonymous = machine.backend.allocMemory({ length: PAGE, pageSize: PAGE, anonymous: true });
    const request = { ioasId, flags: FIXED, file: anonymous, start: 0n, length: PAGE, iova: 0n };
    for (const wrong of [{}, { ioasId: 99 as IoasId }, { length: 0n }, { flags: 1 }, { start: U64_MAX }])
      expect(() => file.ioasMapFileSync({ ...request, ...wrong })).toThrow(
        expect.objectContaining({
          syscall: "memfd",
          request: {},
          message: "EBADF: bad file descriptor, memfd",
        }),
      );
    anonymous.close();
  });

  it("asks where the file ends when a page table needs its pages: EINVAL", () => {
    const device = machine.backend.openVfioDevice(machine.backend.findVfioDevice(FIRST).cdev);
    const deviceId = device.bindIommufd(file);
    const request = { ioasId, flags: FIXED, file: memory, length: 2n * PAGE };
    const [within, across, beyond] = [14n, 15n, 64n].map((page) => page * PAGE) as [bigint, bigint, bigint];
    expect(file.ioasMapFileSync({ ...request, iova: 0n, start: within })).toBe(0n);
    for (const start of [across, beyond]) {
      expect(file.ioasMapFileSync({ ...request, iova: PAGE * 8n, start })).toBe(PAGE * 8n);
      expect(() => device.attachIommufdPtSync(ioasId)).toThrow(refusal("EINVAL"));
      expect(() => file.hwptAllocSync({ deviceId, ptId: ioasId, flags: 0 })).toThrow(refusal("EINVAL"));
      file.ioasUnmapSync(ioasId, PAGE * 8n, 2n * PAGE);
    }
    device.attachIommufdPtSync(ioasId);
    for (const start of [across, beyond])
      expect(() => file.ioasMapFileSync({ ...request, iova: PAGE * 8n, start })).toThrow(refusal("EINVAL"));
    device.close();
  });
});

describe(`no ranges (${backendName})`, () => {
  const none = new BigUint64Array(0);

  it("are mapped and unmapped on an open file alone", async () => {
    const memory = machine.backend.allocMemory({ length: PAGE, pageSize: PAGE, anonymous: false });
    const request = { ioasId, flags: FIXED, memory, iovas: none, offsets: none, lengths: none };
    const map = { ...request, rollBack: false };
    const calls = () => [
      () => file.ioasMapManySync(map),
      () => file.ioasUnmapManySync(ioasId, none, none),
      () => file.ioasMapMany(map),
      () => file.ioasUnmapMany(ioasId, none, none),
    ];
    for (const call of calls()) expect(await call()).toEqual({ done: 0 });
    file.close();
    const closed = expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" });
    for (const call of calls()) await expect((async () => call())()).rejects.toEqual(closed);
    memory.close();
  });
});
