/** VFIO devices, found in a tree like sysfs. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findVfioDevice, listVfioDevices } from "../../lib/backend/kernel/vfio-sysfs.ts";

let root: string;

/** Makes a PCI device as sysfs shows one. */
function device(bdf: string, driver?: string, cdev?: string): void {
  const path = join(root, "sys/bus/pci/devices", bdf);
  mkdirSync(cdev === undefined ? path : join(path, "vfio-dev", cdev), { recursive: true });
  if (driver !== undefined) symlinkSync(`../../../../bus/pci/drivers/${driver}`, join(path, "driver"));
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "iommufd-sysfs-"));
  device("0000:6a:02.0", "vfio-pci", "vfio1");
  device("0000:6a:01.0", "vfio-pci", "vfio0");
  device("0000:3b:00.0", "mlx5_vfio_pci", "vfio7");
  device("0000:00:1f.0", "ahci");
  device("0000:00:1f.1");
  device("0000:00:02.0", "vfio-pci");
});

afterEach(() => rmSync(root, { recursive: true }));

it("lists what VFIO drivers have, in ascending order", () => {
  expect(listVfioDevices(root)).toEqual(["0000:00:02.0", "0000:3b:00.0", "0000:6a:01.0", "0000:6a:02.0"]);
  expect(listVfioDevices("/no-such-root")).toEqual([]);
});

it("finds the character device", () => {
  expect(findVfioDevice(root, "0000:6a:02.0")).toEqual({
    bdf: "0000:6a:02.0",
    cdev: join(root, "dev/vfio/devices/vfio1"),
  });
});

it.each([
  ["0000:99:00.0", "0000:99:00.0: no such PCI device on this machine"],
  ["0000:00:02.0", "0000:00:02.0: bound to vfio-pci, but this kernel offers no VFIO character device"],
  [
    "0000:00:1f.0",
    "0000:00:1f.0: bound to ahci, not to vfio-pci; bind it with: " +
      "echo vfio-pci > /sys/bus/pci/devices/0000:00:1f.0/driver_override && " +
      "echo 0000:00:1f.0 > /sys/bus/pci/devices/0000:00:1f.0/driver/unbind && " +
      "echo 0000:00:1f.0 > /sys/bus/pci/drivers_probe",
  ],
  [
    "0000:00:1f.1",
    "0000:00:1f.1: not bound to any driver; bind it with: " +
      "echo vfio-pci > /sys/bus/pci/devices/0000:00:1f.1/driver_override && echo 0000:00:1f.1 > /sys/bus/pci/drivers_probe",
  ],
])("says why there is none for %s", (bdf, message) => {
  expect(() => findVfioDevice(root, bdf)).toThrow(
    expect.objectContaining({ code: "ERR_IOMMUFD_NO_DEVICE", message: expect.stringContaining(message) }),
  );
});
