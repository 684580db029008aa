/**
 * IOMMU_DESTROY of what is in use. Objects close what depends on them first, so this is asked of the backend itself.
 */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IommufdFile, VfioDeviceFile } from "../../lib/backend/backend.ts";
import { encodeNestedHwpt } from "../../lib/iommufd/driver-data.ts";
import type { DeviceId, HwptId, IoasId, ObjectId } from "../../lib/uapi.ts";
import { backendName, FIRST, machine } from "./backend.ts";
import { lacks } from "./iommus.ts";

const NEST_PARENT = 1;

let file: IommufdFile;
let device: VfioDeviceFile;
let deviceId: DeviceId;
let ioasId: IoasId;

beforeEach(() => {
  const { backend } = machine;
  file = backend.openIommufd();
  device = backend.openVfioDevice(backend.findVfioDevice(FIRST).cdev);
  deviceId = device.bindIommufd(file);
  ioasId = file.ioasAlloc();
});

afterEach(() => {
  device.close();
  file.close();
});

/** The answers to destroying an object. */
function destroy(id: ObjectId): string {
  try {
    file.destroy(id);
    return "destroyed";
  } catch (error) {
    expect(error).toMatchObject({ syscall: "IOMMU_DESTROY", request: { id } });
    return (error as NodeJS.ErrnoException).code ?? "";
  }
}

describe(`destroying (${backendName})`, () => {
  it.skipIf(lacks.vtdNesting)("what is in use: EBUSY, from the leaves inwards it works", () => {
    const parentId = file.hwptAllocSync({ deviceId, ptId: ioasId, flags: NEST_PARENT });
    const data = encodeNestedHwpt({ type: "vtd-s1", flags: 0n, pgtblAddr: 0n, addrWidth: 48 });
    const nestedId = file.hwptAllocSync({ deviceId, ptId: parentId, flags: 0, data });
    device.attachIommufdPtSync(nestedId);
    expect([ioasId, parentId, nestedId, deviceId].map(destroy)).toEqual(Array(4).fill("EBUSY"));
    device.detachIommufdPt();
    expect([ioasId, parentId, nestedId, parentId, ioasId].map(destroy)).toEqual([
      "EBUSY",
      "EBUSY",
      "destroyed",
      "destroyed",
      "destroyed",
    ]);
  });

  it("an automatic page table while a device is attached: EBUSY", () => {
    const automaticId = device.attachIommufdPtSync(ioasId);
    expect([automaticId, ioasId].map(destroy)).toEqual(["EBUSY", "EBUSY"]);
    device.detachIommufdPt();
    expect([automaticId, ioasId].map(destroy)).toEqual(["ENOENT", "destroyed"]);
  });

  it("a device that is bound: EBUSY; what is not there: ENOENT", () => {
    expect(destroy(deviceId)).toBe("EBUSY");
    device.close();
    expect(destroy(deviceId)).toBe("ENOENT");
    expect(destroy(0 as HwptId)).toBe("ENOENT");
    expect(destroy(0xffff_ffff as HwptId)).toBe("ENOENT");
  });
});
