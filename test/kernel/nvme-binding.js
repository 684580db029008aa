// Gives the NVMe controller of the machine "nvme" to the kernel's own driver, and back.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

/** The controller's address. */
export const BDF = "0000:00:03.0";

/**
 * Gives the controller to the kernel's driver, and waits for the block devices of its namespaces.
 *
 * Linux scans namespaces in parallel (since 6.12), and numbers block devices in the order in which it finds them: the number
 * in /dev/nvme0n1 is not the namespace's. Only sysfs names the namespace.
 *
 * @returns the path of the block device of each namespace, in the order of `ids`
 */
export async function bindKernelDriver(/** @type {readonly number[]} */ ids) {
  rebind("vfio-pci", "nvme");
  for (;;) {
    const devices = blockDevices();
    if (ids.every((id) => devices.has(id))) return ids.map((id) => devices.get(id));
    await setTimeout(100);
  }
}

/** Gives the controller back to vfio-pci. */
export function bindVfioDriver() {
  rebind("nvme", "vfio-pci");
}

function rebind(/** @type {string} */ from, /** @type {string} */ to) {
  writeFileSync(`/sys/bus/pci/drivers/${from}/unbind`, BDF);
  writeFileSync(`/sys/bus/pci/devices/${BDF}/driver_override`, to);
  writeFileSync("/sys/bus/pci/drivers_probe", BDF);
}

/** The block devices of the machine's only controller, by the number of their namespace. */
function blockDevices() {
  const names = readdirSync("/sys/block").filter((name) => /^nvme\d+n\d+$/.test(name));
  return new Map(
    names.map((name) => [Number(readFileSync(`/sys/block/${name}/nsid`, "utf8")), `/dev/${name}`]),
  );
}
