/** Whether the kernel is one with iommufd, and lets this process have it. */

import { formatLength } from "../lengths.ts";
import { fail, type HostCheck, type Need, pass, unknown, warn } from "./check.ts";
import type { Machine } from "./machine.ts";
import type { MemlockLimit } from "./memlock.ts";
import { IOMMU_NAMES, type IommuMake } from "./platform.ts";
import { canNest } from "./turn-on.ts";

/** Kernel options without which there is no /dev/iommu, and no /dev/vfio/devices. */
const NEEDED = ["CONFIG_IOMMUFD", "CONFIG_VFIO_DEVICE_CDEV"] as const;

/**
 * The Linux that nested translation of an IOMMU came with. VT-d: 6.7 makes nested page tables, 6.8 invalidates them
 * (IOMMU_HWPT_INVALIDATE). SMMUv3: not in the source of 6.12, in 6.13. AMD: not in 6.12; the commits are of January 2026.
 */
const SINCE: Readonly<Record<IommuMake, readonly [major: number, minor: number]>> = {
  intel: [6, 8],
  arm: [6, 13],
  amd: [7, 0],
};

/**
 * Functions that came with it. Distributions put later features into a kernel and keep its version: Red Hat's 5.14 has
 * much of 6.12. The names of a kernel's functions show its features.
 */
const FUNCTIONS: Readonly<Record<IommuMake, string>> = {
  intel: "intel_nested_cache_invalidate_user",
  arm: "arm_vsmmu_cache_invalidate",
  amd: "amd_iommu_alloc_domain_nested",
};

/** VFIO's character devices. */
const CDEV_SINCE = [6, 6] as const;

/**
 * Whether the kernel has the IOMMU's nested translation: by its version, or by what its makers have put in. Where no IOMMU of this
 * machine nests, a kernel that knows devices is late enough.
 */
export function checkKernel(machine: Machine): HostCheck {
  const name = "kernel";
  const { kernelRelease, kernelConfig } = machine;
  // Where nobody knows whose IOMMU it is, nothing is said about its nested translation.
  const make = canNest(machine) === false ? undefined : machine.platform.make;
  const [, major, minor] = kernelRelease?.match(/^(\d+)\.(\d+)/)?.map(Number) ?? [];
  if (kernelRelease === undefined || major === undefined || minor === undefined)
    return unknown(name, "no /proc/sys/kernel/osrelease", "uname -r tells it");
  const found = `Linux ${kernelRelease}`;
  const [sinceMajor, sinceMinor] = make === undefined ? CDEV_SINCE : SINCE[make];
  if (major > sinceMajor || (major === sinceMajor && minor >= sinceMinor)) return pass(name, found);
  const since = `Linux ${sinceMajor}.${sinceMinor}`;
  const what = make === undefined ? "VFIO's character devices" : `nested translation of ${IOMMU_NAMES[make]}`;
  const { shown, how } = make === undefined ? devicesShown(machine) : nestingShown(machine, make);
  if (shown) return pass(name, `${found}, which has what came with ${since} (${how})`);
  if (shown === undefined && (kernelConfig?.has("CONFIG_IOMMUFD") || machine.hasIommufd)) {
    return unknown(
      name,
      `whether ${kernelRelease} has ${what}, which came with ${since}; it has iommufd`,
      make === undefined
        ? "modprobe configs; zgrep VFIO_DEVICE_CDEV /proc/config.gz"
        : `grep ${FUNCTIONS[make]} /proc/kallsyms, or \`iommufd probe\``,
    );
  }
  return fail(name, found, `${what} came with ${since}: install a later kernel`, {
    kind: "kernel",
    text: `of ${since} or later, for ${what}`,
  });
}

/** Whether a kernel shows a feature, whatever its version; undefined: it does not say. */
interface Shown {
  readonly shown: boolean | undefined;
  readonly how: string;
}

/** By a function of the IOMMU's driver, which is never a module. Without iommufd the kernel need not print all its symbols. */
function nestingShown(machine: Machine, make: IommuMake): Shown {
  const named = FUNCTIONS[make];
  const absent = machine.kernelConfig?.has("CONFIG_IOMMUFD") === false;
  return { shown: absent ? false : machine.hasFunction(named), how: `${named} in /proc/kallsyms` };
}

/** By the configuration, or by a device that has one. VFIO may be a module that is not loaded yet, so that its functions are not there. */
function devicesShown(machine: Machine): Shown {
  const { kernelConfig, vfioDevices } = machine;
  const option = "CONFIG_VFIO_DEVICE_CDEV";
  const offered = vfioDevices.map((bdf) => machine.device(bdf)?.cdev).find((cdev) => cdev !== undefined);
  if (offered !== undefined) return { shown: true, how: offered };
  return { shown: kernelConfig?.has(option), how: option };
}

/** Whether it was built with what is needed. Everything that is there was built. */
export function checkConfig(machine: Machine): HostCheck {
  const name = "kernel config";
  const { kernelConfig } = machine;
  if (kernelConfig === undefined) {
    return unknown(
      name,
      "neither /proc/config.gz, /boot/config-* nor /lib/modules can be read",
      `the kernel needs ${NEEDED.join(" and ")}: where /dev/iommu and /dev/vfio/devices are there, it has them`,
    );
  }
  const absent = NEEDED.filter((option) => !kernelConfig.has(option));
  if (absent.length === 0)
    return pass(name, NEEDED.map((option) => `${option}=${kernelConfig.get(option)}`).join(", "));
  return fail(
    name,
    `without ${absent.join(" and ")}`,
    `use a kernel built with ${absent.join(" and ")} (stock Debian kernels have no iommufd)`,
    kernelWithAll(machine),
  );
}

/** A kernel with what this one lacks: the same for all checks that miss something of it, so that a plan has it once. */
export function kernelWithAll({ kernelConfig }: Machine): Need {
  const absent = NEEDED.filter((option) => kernelConfig?.has(option) === false);
  return { kind: "kernel", text: `with ${absent.join(" and ")}` };
}

/** Whether /dev/iommu is there, and for this user. */
export function checkIommuFile(machine: Machine): HostCheck {
  const name = "/dev/iommu";
  const { container } = machine.platform;
  const access = machine.access("dev/iommu");
  if (access === "read-write") return pass(name, "can be opened");
  if (access === "denied") {
    const give = "give your user access to it (udev), or run as root";
    return fail(
      name,
      "this user may not open it",
      container ? `${give}; the container must have it, too` : give,
      { kind: "access", files: ["/dev/iommu"] },
    );
  }
  const passIn = { kind: "container", files: ["/dev/iommu"] } as const;
  const give = "give it to this container (Docker: --device /dev/iommu)";
  if (machine.hasIommufd) {
    if (container) return fail(name, "the host has it, and this container does not", give, passIn);
    return fail(
      name,
      "the kernel has it (/sys/class/misc/iommu), and /dev does not",
      "look outside of this chroot, or mount devtmpfs on /dev",
    );
  }
  if (machine.kernelConfig?.has("CONFIG_IOMMUFD") === false) {
    const fix = "it comes with a kernel that has CONFIG_IOMMUFD";
    return fail(name, "is not there", fix, kernelWithAll(machine));
  }
  const load = "load the module: modprobe iommufd";
  return container
    ? fail(name, "is not there", `${give}; where the host has none, ${load}`, { kind: "modules" }, passIn)
    : fail(name, "is not there", load, { kind: "modules" });
}

/** Whether a VM's memory may be locked. */
export function checkMemlock(memlock: MemlockLimit | undefined): HostCheck {
  const name = "locked memory";
  if (memlock === undefined)
    return unknown(name, "no /proc/self/limits and status", "ulimit -l prints the limit, in KiB");
  if (memlock.exempt)
    return pass(name, "no limit for this process (CAP_IPC_LOCK); a VM's process may have one");
  if (memlock.limit === undefined) return pass(name, "no limit");
  const limit = formatLength(memlock.limit);
  const fix = "a VM locks all of its memory: raise RLIMIT_MEMLOCK (libvirt does so by itself)";
  return memlock.limit < 1n << 30n
    ? warn(name, `at most ${limit}`, fix, {
        kind: "memlock",
        text: "let the VMM lock all of a guest's memory: raise RLIMIT_MEMLOCK (libvirt does so by itself)",
      })
    : pass(name, `at most ${limit}`);
}
