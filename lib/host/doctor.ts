/**
 * Whether a machine is ready for iommufd with nested translation, and if not, what exactly to do.
 */

import { bindCommand } from "../backend/kernel/vfio-sysfs.ts";
import { decodeVtd } from "../hw-info/vtd.ts";
import type { Machine, PciBridge, PciDevice } from "./machine.ts";
import type { MemlockLimit } from "./memlock.ts";

/** How a check ended; "unknown" where the machine does not tell, or not this user. */
export type CheckStatus = "pass" | "warn" | "fail" | "unknown";

/** One check. */
export interface HostCheck {
  /** What was looked at, in a word or two. */
  readonly name: string;
  readonly status: CheckStatus;
  /** What was found. */
  readonly found: string;
  /** What to do; null where nothing is to be done. */
  readonly fix: string | null;
}

/** Sapphire Rapids, whose specification update has the erratum. */
const SAPPHIRE_RAPIDS = { vendor: "GenuineIntel", family: 6, model: 143 } as const;

/** Kernel options without which there is no /dev/iommu, and no /dev/vfio/devices. */
const NEEDED = ["CONFIG_IOMMUFD", "CONFIG_VFIO_DEVICE_CDEV"] as const;

/**
 * Looks at a machine. Nothing is opened or changed, and it works without privileges as far as that goes.
 *
 * @param bdfs the devices that a VM is to get; none: those that vfio-pci has
 */
export function examine(
  machine: Machine,
  bdfs: readonly string[],
  memlock: MemlockLimit | undefined,
): HostCheck[] {
  const devices = bdfs.length > 0 ? bdfs : machine.vfioDevices;
  return [
    checkKernel(machine),
    checkConfig(machine),
    checkIommuFile(machine),
    checkIommus(machine),
    checkNesting(machine),
    checkScalableMode(machine),
    checkProcessor(machine),
    checkMemlock(memlock),
    ...(devices.length === 0 ? [noDevices()] : devices.flatMap((bdf) => checkDevice(machine, bdf))),
  ];
}

function checkKernel({ kernelRelease }: Machine): HostCheck {
  const name = "kernel";
  const [, major, minor] = kernelRelease?.match(/^(\d+)\.(\d+)/)?.map(Number) ?? [];
  if (kernelRelease === undefined || major === undefined || minor === undefined)
    return unknown(name, "no /proc/sys/kernel/osrelease");
  const found = `Linux ${kernelRelease}`;
  if (major > 6 || (major === 6 && minor >= 8)) return pass(name, found);
  return fail(name, found, "nested translation of VT-d came with Linux 6.8: install a later kernel");
}

function checkConfig({ kernelConfig }: Machine): HostCheck {
  const name = "kernel config";
  if (kernelConfig === undefined)
    return unknown(name, "neither /proc/config.gz nor /boot/config-* can be read");
  const absent = NEEDED.filter((option) => !kernelConfig.has(option));
  if (absent.length === 0)
    return pass(name, NEEDED.map((option) => `${option}=${kernelConfig.get(option)}`).join(", "));
  return fail(
    name,
    `without ${absent.join(" and ")}`,
    `use a kernel built with ${absent.join(" and ")} (stock Debian kernels have no iommufd)`,
  );
}

function checkIommuFile(machine: Machine): HostCheck {
  const name = "/dev/iommu";
  const access = machine.access("dev/iommu");
  if (access === "read-write") return pass(name, "can be opened");
  if (access === "denied") {
    return fail(name, "this user may not open it", "give your user access to it (udev), or run as root");
  }
  if (machine.kernelConfig?.has("CONFIG_IOMMUFD") === false)
    return fail(name, "is not there", "it comes with a kernel that has CONFIG_IOMMUFD");
  return fail(name, "is not there", "load the module: modprobe iommufd");
}

function checkIommus({ iommus, commandLine }: Machine): HostCheck {
  const name = "IOMMU";
  if (iommus.length > 0) return pass(name, iommus.join(", "));
  const word = commandLine?.findLast((each) => /^(intel_iommu|iommu|amd_iommu)=/.test(each));
  return fail(
    name,
    word === undefined ? "none is in use" : `none is in use, with ${word}`,
    "turn it on: VT-d in the firmware's setup, and intel_iommu=on on the kernel command line",
  );
}

/** What the units' registers allow; whether Linux uses it is {@link checkScalableMode}. */
function checkNesting({ vtdUnits }: Machine): HostCheck {
  const name = "nested translation";
  if (vtdUnits.length === 0) return unknown(name, "no VT-d unit shows its registers in /sys/class/iommu");
  const names = (able: boolean) =>
    vtdUnits
      .filter(({ capReg, ecapReg }) => decodeVtd(capReg, ecapReg).derived.nestedTranslation === able)
      .map((unit) => unit.name)
      .join(", ");
  const [able, unable] = [names(true), names(false)];
  if (able === "") return fail(name, `no VT-d unit is able to: ${unable}`, "use another host");
  if (unable === "") return pass(name, `VT-d units able to: ${able}`);
  return warn(
    name,
    `VT-d units able to: ${able}; not: ${unable}`,
    "`iommufd probe` tells which a device is behind",
  );
}

/** Linux says in its log alone whether scalable mode is on; the command line and its default decide it (drivers/iommu/intel/iommu.c). */
function checkScalableMode({ vtdUnits, commandLine, kernelConfig }: Machine): HostCheck {
  const name = "scalable mode";
  if (vtdUnits.length === 0) return unknown(name, "no VT-d unit shows its registers in /sys/class/iommu");
  if (commandLine === undefined) return unknown(name, "no /proc/cmdline");
  const word = commandLine
    .flatMap((each) => (each.startsWith("intel_iommu=") ? each.slice("intel_iommu=".length).split(",") : []))
    .findLast((each) => each === "sm_on" || each === "sm_off");
  const fix = "put intel_iommu=on,sm_on on the kernel command line";
  if (word === "sm_on") return pass(name, "asked for on the kernel command line (sm_on)");
  if (word === "sm_off") return fail(name, "switched off on the kernel command line (sm_off)", fix);
  if (kernelConfig === undefined)
    return warn(name, "as this kernel's default is, which could not be seen", fix);
  return kernelConfig.has("CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON")
    ? pass(name, "this kernel's default")
    : fail(name, "not this kernel's default, nor asked for", fix);
}

/** A statement of its own: what Linux reports is another (it sets the flag for every VT-d unit). */
function checkProcessor({ cpu }: Machine): HostCheck {
  const name = "processor";
  if (cpu === undefined) return unknown(name, "no /proc/cpuinfo that names it");
  const found = `${cpu.name}, family ${cpu.family} model ${cpu.model}`;
  const { vendor, family, model } = SAPPHIRE_RAPIDS;
  if (cpu.vendor !== vendor || cpu.family !== family || cpu.model !== model) {
    return pass(name, `${found}: not Sapphire Rapids, whose specification update has ERRATA_772415_SPR17`);
  }
  return warn(
    name,
    `${found}: Sapphire Rapids, whose specification update has ERRATA_772415_SPR17`,
    "map no read-only memory in a nest parent; `iommufd probe` tells what the kernel reports, `iommufd plan` what follows",
  );
}

function checkMemlock(memlock: MemlockLimit | undefined): HostCheck {
  const name = "locked memory";
  if (memlock === undefined) return unknown(name, "no /proc/self/limits and status");
  if (memlock.exempt)
    return pass(name, "no limit for this process (CAP_IPC_LOCK); a VM's process may have one");
  if (memlock.limit === undefined) return pass(name, "no limit");
  const limit = `${memlock.limit >> 20n} MiB`;
  const fix = "a VM locks all of its memory: raise RLIMIT_MEMLOCK (libvirt does so by itself)";
  return memlock.limit < 1n << 30n ? warn(name, `at most ${limit}`, fix) : pass(name, `at most ${limit}`);
}

function noDevices(): HostCheck {
  return warn("devices", "vfio-pci has none", "name those that a VM is to get: iommufd doctor 0000:6a:01.0");
}

function checkDevice(machine: Machine, bdf: string): HostCheck[] {
  const device = machine.device(bdf);
  if (device === undefined) return [fail(bdf, "no such PCI device", "lspci -D lists what is there")];
  return [checkBinding(machine, device), checkGroup(device), ...checkAcs(device)];
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
  if (access === "read-write") return pass(bdf, `${driver}, ${cdev}`);
  const found = access === "missing" ? `${cdev} is not there` : `this user may not open ${cdev}`;
  const fix =
    access === "missing"
      ? `make ${cdev} visible here (udev, the container's devices)`
      : `give your user access to ${cdev} (udev), or run as root`;
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
  if (unseen.length > 0) return [unknown(bdf, `ACS of ${names(unseen)}, above it, which only root may read`)];
  return [pass(bdf, `ACS is on at ${names(bridges)}, above it: its group has another reason`)];
}

function pass(name: string, found: string): HostCheck {
  return { name, status: "pass", found, fix: null };
}

function warn(name: string, found: string, fix: string): HostCheck {
  return { name, status: "warn", found, fix };
}

function fail(name: string, found: string, fix: string): HostCheck {
  return { name, status: "fail", found, fix };
}

function unknown(name: string, why: string): HostCheck {
  return { name, status: "unknown", found: `cannot be seen: ${why}`, fix: null };
}
