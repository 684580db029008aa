/**
 * Finds VFIO devices in sysfs: a device bound to a VFIO driver has a directory `vfio-dev` with one entry, the
 * name of its character device (Documentation/driver-api/vfio.rst, "VFIO Device cdev").
 */

import { readdirSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { IommufdError, isSystemError } from "../../errors.ts";
import type { VfioDeviceEntry } from "../backend.ts";

/** The PCI addresses of the devices bound to vfio-pci, or offered by another VFIO driver, in ascending order. */
export function listVfioDevices(root: string): string[] {
  const devices = join(root, "sys/bus/pci/devices");
  return entries(devices)
    .filter((bdf) => driverOf(root, bdf) === "vfio-pci" || cdevName(root, bdf) !== undefined)
    .sort();
}

/**
 * Finds the character device of one.
 *
 * @throws IommufdError ERR_IOMMUFD_NO_DEVICE, saying what is there instead
 */
export function findVfioDevice(root: string, bdf: string): VfioDeviceEntry {
  const name = cdevName(root, bdf);
  if (name !== undefined)
    return { bdf, cdev: join(root, "dev/vfio/devices", name), group: groupOf(root, bdf) };
  throw new IommufdError("ERR_IOMMUFD_NO_DEVICE", `${bdf}: ${whyNot(root, bdf)}`);
}

function whyNot(root: string, bdf: string): string {
  if (!entries(join(root, "sys/bus/pci/devices")).includes(bdf)) return "no such PCI device on this machine";
  const driver = driverOf(root, bdf);
  if (driver === "vfio-pci") {
    return "bound to vfio-pci, but this kernel offers no VFIO character device (CONFIG_VFIO_DEVICE_CDEV)";
  }
  const bound = driver === undefined ? "not bound to any driver" : `bound to ${driver}, not to vfio-pci`;
  return `${bound}; bind it with: ${bindCommand(bdf, driver)}`;
}

/** The shell command that gives a device to vfio-pci, by hand and until the next boot. */
export function bindCommand(bdf: string, driver: string | undefined): string {
  return (
    `echo vfio-pci > /sys/bus/pci/devices/${bdf}/driver_override` +
    `${driver === undefined ? "" : ` && echo ${bdf} > /sys/bus/pci/devices/${bdf}/driver/unbind`}` +
    ` && echo ${bdf} > /sys/bus/pci/drivers_probe`
  );
}

/** Name of the VFIO character device; undefined where no VFIO driver offers one. */
export function cdevName(root: string, bdf: string): string | undefined {
  return entries(join(root, "sys/bus/pci/devices", bdf, "vfio-dev")).find((name) => name.startsWith("vfio"));
}

/** Number of the IOMMU group; undefined where there is none: no IOMMU translates for the device. */
export function groupOf(root: string, bdf: string): number | undefined {
  const link = absent(() => readlinkSync(join(root, "sys/bus/pci/devices", bdf, "iommu_group")));
  return link === undefined ? undefined : Number(basename(link));
}

/** Name of the driver; undefined where there is none. */
export function driverOf(root: string, bdf: string): string | undefined {
  return absent(() => basename(readlinkSync(join(root, "sys/bus/pci/devices", bdf, "driver"))));
}

function entries(directory: string): string[] {
  return absent(() => readdirSync(directory)) ?? [];
}

/** The result of a read, or undefined if there is nothing to read. */
function absent<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR", "EINVAL")) return undefined;
    throw error;
  }
}

/**
 * Whether a driver leaves the DMA of a device to others: VFIO's, which all have it in their names, and these (driver_managed_dma,
 * read in all of drivers/ of Linux 7.2). Others claim it for the kernel (drivers/pci/pci-driver.c, pci_dma_configure()).
 */
export function leavesDmaAlone(driver: string): boolean {
  return /vfio|^pci-stub$|^pcieport$/.test(driver);
}
