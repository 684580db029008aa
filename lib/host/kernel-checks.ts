/** Whether the kernel is one with iommufd, and lets this process have it. */

import { formatLength } from "../lengths.ts";
import { fail, type HostCheck, pass, unknown, warn } from "./check.ts";
import type { Machine } from "./machine.ts";
import type { MemlockLimit } from "./memlock.ts";
import { IOMMU_NAMES, type IommuMake } from "./platform.ts";

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

/** Whether the kernel is as late as the IOMMU's nested translation. */
export function checkKernel({ kernelRelease, platform: { make = "intel" } }: Machine): HostCheck {
  const name = "kernel";
  const [, major, minor] = kernelRelease?.match(/^(\d+)\.(\d+)/)?.map(Number) ?? [];
  if (kernelRelease === undefined || major === undefined || minor === undefined)
    return unknown(name, "no /proc/sys/kernel/osrelease", "uname -r tells it");
  const found = `Linux ${kernelRelease}`;
  const [sinceMajor, sinceMinor] = SINCE[make];
  if (major > sinceMajor || (major === sinceMajor && minor >= sinceMinor)) return pass(name, found);
  const since = `${sinceMajor}.${sinceMinor}`;
  return fail(
    name,
    found,
    `nested translation of ${IOMMU_NAMES[make]} came with Linux ${since}: install a later kernel`,
  );
}

/** Whether it was built with what is needed. */
export function checkConfig({ kernelConfig }: Machine): HostCheck {
  const name = "kernel config";
  if (kernelConfig === undefined) {
    return unknown(
      name,
      "neither /proc/config.gz nor /boot/config-* can be read",
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
  );
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
    );
  }
  if (machine.kernelConfig?.has("CONFIG_IOMMUFD") === false)
    return fail(name, "is not there", "it comes with a kernel that has CONFIG_IOMMUFD");
  const load = "load the module: modprobe iommufd";
  return fail(
    name,
    "is not there",
    container
      ? `give it to this container (Docker: --device /dev/iommu); where the host has none, ${load}`
      : load,
  );
}

/** Whether a VM's memory may be locked. */
export function checkMemlock(memlock: MemlockLimit | undefined): HostCheck {
  const name = "locked memory";
  if (memlock === undefined)
    return unknown(name, "no /proc/self/limits and status", "ulimit -l tells the limit, in KiB");
  if (memlock.exempt)
    return pass(name, "no limit for this process (CAP_IPC_LOCK); a VM's process may have one");
  if (memlock.limit === undefined) return pass(name, "no limit");
  const limit = formatLength(memlock.limit);
  const fix = "a VM locks all of its memory: raise RLIMIT_MEMLOCK (libvirt does so by itself)";
  return memlock.limit < 1n << 30n ? warn(name, `at most ${limit}`, fix) : pass(name, `at most ${limit}`);
}
