/**
 * Whether a machine is ready for iommufd with nested translation, and if not, what exactly to do.
 */

import type { HostCheck } from "./check.ts";
import { checkDevice, noDevices } from "./device-checks.ts";
import { checkErratum, checkIommus, checkNesting, checkScalableMode } from "./iommu-checks.ts";
import { checkIsolation } from "./isolation.ts";
import { checkConfig, checkIommuFile, checkKernel, checkMemlock } from "./kernel-checks.ts";
import type { Machine } from "./machine.ts";
import type { MemlockLimit } from "./memlock.ts";
import { checkLog, checkQemus } from "./symptom-checks.ts";

/**
 * Looks at a machine. No device is opened, nothing is changed, and it works without privileges as far as that goes.
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
    checkIsolation(machine),
    checkNesting(machine),
    ...checkScalableMode(machine),
    checkErratum(machine),
    ...checkLog(machine),
    ...checkQemus(machine),
    checkMemlock(memlock),
    ...(devices.length === 0 ? [noDevices()] : devices.flatMap((bdf) => checkDevice(machine, bdf))),
  ];
}
