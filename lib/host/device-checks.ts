/** Whether the devices that a VM is to get can be given to it. */

import { bindCommand, leavesDmaAlone } from "../backend/kernel/vfio-sysfs.ts";
import { BDF_PATTERN } from "../bdf.ts";
import { fail, type HostCheck, type Need, pass, unknown, warn, wordsOf } from "./check.ts";
import { kernelWithAll } from "./kernel-checks.ts";
import type { Machine, PciBridge, PciDevice, PciFunction } from "./machine.ts";
import { checkReservedRegions } from "./reserved-regions.ts";
import { type Remedy, turnOn } from "./turn-on.ts";

/** No device to look at. */
export function noDevices(): HostCheck {
  return warn("devices", "vfio-pci has none", "name those that a VM is to get: iommufd doctor 0000:6a:01.0");
}

/** A device that a VM is to get: its driver, its character device, its group. */
export function checkDevice(machine: Machine, bdf: string): HostCheck[] {
  const device = machine.device(bdf);
  if (device === undefined) return [fail(bdf, "no such PCI device", "lspci -D lists what is there")];
  // A device that must stay with the host gets no other checks.
  const why = device.cdev === undefined ? whyNotToBind(device) : undefined;
  if (why !== undefined) return [fail(bdf, why, "name another device, one that the host can do without")];
  const { group, reservedRegions } = device;
  const reserved =
    group === undefined ? [] : checkReservedRegions(bdf, group, reservedRegions, machine.platform.make);
  // The kernel gives no device of this group to anybody: to bind one would only take it from the host.
  if (reserved.some(({ status }) => status === "fail"))
    return device.cdev === undefined ? reserved : [checkBinding(machine, device), ...reserved];
  return [
    ...checkHostUse(machine, device),
    checkBinding(machine, device),
    checkGroup(machine, device),
    ...checkSharing(device),
    ...reserved,
  ];
}

/** A container has its own mounts and network. */
function checkHostUse({ platform }: Machine, { bdf, cdev }: PciDevice): HostCheck[] {
  if (!platform.container || cdev !== undefined) return [];
  return [unknown(bdf, "whether the host of this container needs it", `on the host: iommufd doctor ${bdf}`)];
}

function checkBinding(machine: Machine, device: PciDevice): HostCheck {
  const { bdf, driver, cdev } = device;
  if (cdev === undefined) {
    if (driver === "vfio-pci") return checkMissingCdev(machine, device);
    const found = driver === undefined ? "has no driver" : `its driver is ${driver}`;
    return fail(bdf, found, bindCommand(bdf, driver), { kind: "modules" }, ...bind(device));
  }
  const access = machine.access(cdev);
  if (access === "read-write") {
    const users = machine.usersOf(bdf).map(({ pid, name }) => `${name} (process ${pid})`);
    return pass(bdf, `${driver}, ${cdev}${users.length === 0 ? "" : `, in use by ${users.join(", ")}`}`);
  }
  if (access === "denied") {
    return fail(
      bdf,
      `this user may not open ${cdev}`,
      `give your user access to ${cdev} (udev), or run as root`,
      { kind: "access", files: [cdev] },
    );
  }
  return machine.platform.container
    ? fail(
        bdf,
        `${cdev} is not there`,
        `give this container ${cdev} (Docker: --device; Kubernetes: a device plugin)`,
        { kind: "container", files: [cdev] },
      )
    : fail(bdf, `${cdev} is not there`, `make ${cdev} visible here (udev)`);
}

/** vfio-pci makes one where the kernel can (drivers/vfio/vfio.h, vfio_device_add()), and where an IOMMU translates. */
function checkMissingCdev(machine: Machine, device: PciDevice): HostCheck {
  const { bdf, driver, group } = device;
  const found = "vfio-pci has it, without a character device";
  if (machine.kernelConfig?.has("CONFIG_VFIO_DEVICE_CDEV") === false)
    return fail(bdf, found, "use a kernel with CONFIG_VFIO_DEVICE_CDEV", kernelWithAll(machine));
  if (group === undefined) {
    const { fix, needs } = remedyForNoGroup(machine);
    return fail(bdf, `${found}, for no IOMMU translates for it`, fix, ...needs);
  }
  if (machine.kernelConfig === undefined) {
    return fail(
      bdf,
      found,
      "find out whether the kernel has CONFIG_VFIO_DEVICE_CDEV: modprobe configs; zgrep VFIO /proc/config.gz",
    );
  }
  return fail(
    bdf,
    `${found}, though the kernel has CONFIG_VFIO_DEVICE_CDEV`,
    `bind it again, and see what dmesg says of it: ${bindCommand(bdf, driver)}`,
    ...bind(device),
  );
}

/** Reasons against giving a device to vfio-pci. */
function whyNotToBind({ bridge, hostUse }: PciFunction): string | undefined {
  if (bridge) return "is a bridge, which no VM can be given";
  return hostUse.length === 0 ? undefined : `is needed by the host: ${hostUse.join(", ")}`;
}

/** Names of a recorded tree may be anything, and commands are made of this. */
function bind({ bdf, driver }: PciFunction): Need[] {
  return BDF_PATTERN.test(bdf) ? [{ kind: "bind", bdf, driver }] : [];
}

/** Whether the kernel itself owns the DMA of a device, and with it that of the group (EPERM). */
function isHeld({ driver, cdev }: PciFunction): boolean {
  return driver !== undefined && cdev === undefined && !leavesDmaAlone(driver);
}

/** The others of the group that matter: a bridge that nobody holds is none. */
function othersOf({ mates }: PciDevice): PciFunction[] {
  return mates.filter((mate) => !mate.bridge || isHeld(mate));
}

/** Either no IOMMU is in use, or none of those that are is above the device. */
function remedyForNoGroup(machine: Machine): Remedy {
  if (machine.iommus.length === 0) return turnOn(machine);
  return { fix: "use another slot: this one is behind no IOMMU", needs: [] };
}

function checkGroup(machine: Machine, device: PciDevice): HostCheck {
  const { bdf, group } = device;
  if (group === undefined) {
    const { fix, needs } = remedyForNoGroup(machine);
    return fail(bdf, "is in no IOMMU group: no IOMMU translates for it", fix, ...needs);
  }
  const others = othersOf(device);
  if (others.length === 0) return pass(bdf, `alone in IOMMU group ${group}`);
  const list = others.map((mate) => `${mate.bdf} (${mate.driver ?? "no driver"})`).join(", ");
  const found = `shares IOMMU group ${group} with ${list}`;
  const held = others.filter(isHeld);
  if (held.length === 0)
    return warn(bdf, found, `give the devices of group ${group} to one VM alone, attached together`);
  const kept = held.filter((mate) => whyNotToBind(mate) !== undefined);
  if (kept.length > 0) {
    const why = kept.map((mate) => `${mate.bdf} ${whyNotToBind(mate)}`).join("; ");
    return fail(
      bdf,
      `${found}; binding answers EPERM`,
      `use a slot whose group has none of the host's (${why})`,
    );
  }
  const needs = held.flatMap(bind);
  return fail(
    bdf,
    `${found}; binding answers EPERM`,
    `${needs.map(wordsOf).join(", ")}, or use another slot: the IOMMU cannot tell them apart`,
    ...needs,
  );
}

/** Why a device shares its group; only for devices that do. */
function checkSharing(device: PciDevice): HostCheck[] {
  const { bdf, bridges } = device;
  const others = othersOf(device);
  if (others.every(({ bridge }) => bridge)) return [];
  const names = (list: readonly PciBridge[]) => list.map((bridge) => bridge.bdf).join(", ");
  const conventional = bridges.filter(({ acs }) => acs === "conventional");
  if (conventional.length > 0) {
    const found = `is below ${names(conventional)}, a bridge to conventional PCI, which speaks for all below it`;
    return [warn(bdf, found, "to have it alone, use a slot of PCI Express: no setting of the bridge helps")];
  }
  const slot = bdf.slice(0, bdf.lastIndexOf("."));
  if (others.every((mate) => mate.bdf.startsWith(`${slot}.`)))
    return [pass(bdf, "they are functions of one device, which does not keep them apart (ACS)")];
  if (bridges.length === 0) return [];
  const open = bridges.filter(({ acs }) => acs === "absent" || acs === "partial");
  if (open.length > 0) {
    const found = `ACS is not on at ${names(open)}, above it`;
    return [warn(bdf, found, "to have it alone, use a slot below a port that has ACS (lspci -vv: ACSCtl)")];
  }
  const unseen = bridges.filter(({ acs }) => acs === undefined);
  if (unseen.length > 0) {
    const why = `ACS of ${names(unseen)}, above it, which only root may read`;
    return [unknown(bdf, why, "run as root; or: lspci -vv shows it (ACSCtl)")];
  }
  return [pass(bdf, `ACS is on at ${names(bridges)}, above it: its group has another reason`)];
}
