/** Whether the devices that a VM is to get can be given to it. */

import { bindCommand } from "../backend/kernel/vfio-sysfs.ts";
import { fail, type HostCheck, pass, unknown, warn } from "./check.ts";
import type { Machine, PciBridge, PciDevice } from "./machine.ts";
import { checkReservedRegions } from "./reserved-regions.ts";

/** No device to look at. */
export function noDevices(): HostCheck {
  return warn("devices", "vfio-pci has none", "name those that a VM is to get: iommufd doctor 0000:6a:01.0");
}

/** A device that a VM is to get: its driver, its character device, its group. */
export function checkDevice(machine: Machine, bdf: string): HostCheck[] {
  const device = machine.device(bdf);
  if (device === undefined) return [fail(bdf, "no such PCI device", "lspci -D lists what is there")];
  const { group, reservedRegions } = device;
  return [
    checkBinding(machine, device),
    checkGroup(device),
    ...checkAcs(device),
    ...(group === undefined ? [] : checkReservedRegions(bdf, group, reservedRegions, machine.platform.make)),
  ];
}

function checkBinding(machine: Machine, { bdf, driver, cdev }: PciDevice): HostCheck {
  if (cdev === undefined) {
    if (driver === "vfio-pci")
      return fail(
        bdf,
        "vfio-pci has it, without a character device",
        "use a kernel with CONFIG_VFIO_DEVICE_CDEV",
      );
    return fail(
      bdf,
      driver === undefined ? "has no driver" : `its driver is ${driver}`,
      bindCommand(bdf, driver),
    );
  }
  const access = machine.access(cdev);
  if (access === "read-write") {
    const users = machine.usersOf(bdf).map(({ pid, name }) => `${name} (process ${pid})`);
    return pass(bdf, `${driver}, ${cdev}${users.length === 0 ? "" : `, in use by ${users.join(", ")}`}`);
  }
  const found = access === "missing" ? `${cdev} is not there` : `this user may not open ${cdev}`;
  const give = machine.platform.container
    ? `give this container ${cdev} (Docker: --device; Kubernetes: a device plugin)`
    : `make ${cdev} visible here (udev)`;
  const fix = access === "missing" ? give : `give your user access to ${cdev} (udev), or run as root`;
  return fail(bdf, found, fix);
}

function checkGroup({ bdf, group, mates }: PciDevice): HostCheck {
  if (group === undefined)
    return fail(
      bdf,
      "is in no IOMMU group: no IOMMU translates for it",
      "turn the IOMMU on, or use another slot",
    );
  const others = mates.filter(({ bridge }) => !bridge);
  if (others.length === 0) return pass(bdf, `alone in IOMMU group ${group}`);
  const list = others.map((mate) => `${mate.bdf} (${mate.driver ?? "no driver"})`).join(", ");
  const busy = others.filter(
    ({ driver, cdev }) => driver !== undefined && driver !== "vfio-pci" && cdev === undefined,
  );
  if (busy.length === 0) {
    return warn(
      bdf,
      `shares IOMMU group ${group} with ${list}`,
      "they can only go to the same VM, attached together",
    );
  }
  return fail(
    bdf,
    `shares IOMMU group ${group} with ${list}`,
    "unbind those too, or use a slot behind a port with ACS: the IOMMU cannot tell them apart",
  );
}

/** Why a device shares its group: of one that does not, nobody asks. */
function checkAcs({ bdf, mates, bridges }: PciDevice): HostCheck[] {
  if (mates.every(({ bridge }) => bridge) || bridges.length === 0) return [];
  const names = (list: readonly PciBridge[]) => list.map((bridge) => bridge.bdf).join(", ");
  const open = bridges.filter(({ acs }) => acs === "absent" || acs === "partial");
  if (open.length > 0) {
    const found = `ACS is not on at ${names(open)}, above it`;
    return [warn(bdf, found, "use a slot below a port that has ACS; lspci -vv shows which (ACSCtl)")];
  }
  const unseen = bridges.filter(({ acs }) => acs === undefined);
  if (unseen.length > 0) {
    const why = `ACS of ${names(unseen)}, above it, which only root may read`;
    return [unknown(bdf, why, "run as root; or: lspci -vv shows it (ACSCtl)")];
  }
  return [pass(bdf, `ACS is on at ${names(bridges)}, above it: its group has another reason`)];
}
