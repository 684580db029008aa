/**
 * The ioctls of a VFIO device as the backend has them, below the objects, which do not let one ask some of it
 * (drivers/vfio/iommufd.c, drivers/vfio/pci).
 */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IommufdFile, VfioDeviceFile } from "../../lib/backend/backend.ts";
import type { DeviceId, IoasId } from "../../lib/uapi.ts";
import { backendName, FIRST, laterThan, machine, PAGE } from "./backend.ts";
import { LAST, lacks } from "./iommus.ts";

const PASID = 8;
const MASK = 8;
const UNMASK = 16;
const TRIGGER = 32;

let file: IommufdFile;
let device: VfioDeviceFile;
let id: DeviceId;
let ioas: IoasId;

beforeEach(() => {
  file = machine.backend.openIommufd();
  device = machine.backend.openVfioDevice(machine.backend.findVfioDevice(FIRST).cdev);
  id = device.bindIommufd(file);
  ioas = file.ioasAlloc();
});

afterEach(() => {
  device.close();
  file.close();
});

const refusal = (code: string, syscall: string) => expect.objectContaining({ code, syscall });
const attachRefused = (code: string) => refusal(code, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");

describe.skipIf(!laterThan(6, 12) || lacks.pasid)(`PASIDs of a device (${backendName})`, () => {
  it("end before 2^31: ENOSPC", () => {
    const hwpt = file.hwptAllocSync({ deviceId: id, ptId: ioas, flags: PASID });
    for (const pasid of [2 ** 31, 2 ** 32 - 1])
      expect(() => device.attachIommufdPtSync(hwpt, pasid)).toThrow(attachRefused("ENOSPC"));
    expect(device.attachIommufdPtSync(hwpt, 2 ** 31 - 1)).toBe(hwpt);
    device.detachIommufdPt(2 ** 32 - 1);
  });

  it("0 is the device itself, which is attached once: EBUSY", () => {
    device.attachIommufdPtSync(ioas);
    expect(() => device.attachIommufdPtSync(ioas, 0)).toThrow(attachRefused("EBUSY"));
    device.detachIommufdPt(0);
    expect(() => device.attachIommufdPtSync(ioas, 0), "it was not attached so").toThrow(
      attachRefused("EBUSY"),
    );
    // Before it is asked whether a page table could translate what the other address space has.
    const other = file.ioasAlloc();
    const memory = machine.backend.allocMemory({ length: PAGE, pageSize: PAGE, anonymous: false });
    file.ioasMapSync({ ioasId: other, flags: 7, memory, offset: 0n, length: PAGE, iova: LAST + 1n });
    expect(() => device.attachIommufdPtSync(other, 0)).toThrow(attachRefused("EBUSY"));
    memory.close();
    device.detachIommufdPt();
    const hwpt = device.attachIommufdPtSync(ioas, 0);
    expect(device.attachIommufdPtSync(ioas, 0)).toBe(hwpt);
    expect(() => device.attachIommufdPtSync(ioas)).toThrow(attachRefused("EBUSY"));
    device.detachIommufdPt();
    expect(() => file.destroy(hwpt as never)).toThrow(refusal("EBUSY", "IOMMU_DESTROY"));
    device.detachIommufdPt(0);
    expect(() => file.destroy(hwpt as never)).toThrow(refusal("ENOENT", "IOMMU_DESTROY"));
  });
});

describe.skipIf(laterThan(6, 12))(`PASIDs of a device, Linux 6.12 (${backendName})`, () => {
  it("are a flag that it does not know: EINVAL", () => {
    expect(() => device.attachIommufdPtSync(ioas, 7)).toThrow(attachRefused("EINVAL"));
    expect(() => device.detachIommufdPt(7)).toThrow(refusal("EINVAL", "VFIO_DEVICE_DETACH_IOMMUFD_PT"));
  });
});

describe(`VFIO_DEVICE_SET_IRQS (${backendName})`, () => {
  it("masks no interrupts but those of pins: ENOTTY", () => {
    for (const index of [1, 2, 4]) {
      const { count } = device.getIrqInfo(index);
      for (const action of [MASK, UNMASK])
        expect(() => device.setIrqs({ index, action, start: 0, count: 1, eventFds: [] })).toThrow(
          refusal(count === 0 ? "EINVAL" : "ENOTTY", "VFIO_DEVICE_SET_IRQS"),
        );
    }
    expect(device.getIrqInfo(4).count, "the one that asks for the device back").toBe(1);
  });

  it.each([
    { index: 5, start: 0, count: 1 },
    { index: 4, start: 1, count: 0 },
    { index: 4, start: 0, count: 2 },
    { index: 3, start: 0, count: 1 },
  ])("refuses what is not there, $index from $start: EINVAL", (interrupts) => {
    for (const action of [MASK, TRIGGER])
      expect(() => device.setIrqs({ ...interrupts, action, eventFds: [] })).toThrow(
        refusal("EINVAL", "VFIO_DEVICE_SET_IRQS"),
      );
  });
});
