/**
 * Whether a machine is ready for iommufd with nested translation, and if not, what exactly to do.
 */

import { type Origin, originOfMachine } from "../origin.ts";
import type { HostCheck } from "./check.ts";
import { checkDevice, noDevices } from "./device-checks.ts";
import { checkErratum, checkIommus, checkNesting, checkScalableMode } from "./iommu-checks.ts";
import { checkIsolation } from "./isolation.ts";
import { checkConfig, checkIommuFile, checkKernel, checkMemlock } from "./kernel-checks.ts";
import { Machine } from "./machine.ts";
import { type MemlockLimit, memlockLimit } from "./memlock.ts";
import { type Step, stepsOf } from "./steps.ts";
import { checkLog, checkQemus } from "./symptom-checks.ts";

/**
 * Looks at a machine. No device is opened, nothing is changed, and it works without privileges as far as that goes.
 *
 * @param bdfs the devices that a VM is to get; none: the devices of vfio-pci
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

/** The findings about a machine, and what to do. */
export interface Diagnosis {
  /** Which machine was looked at, and when. */
  readonly origin: Origin;
  readonly checks: readonly HostCheck[];
  /** In order; empty where nothing is to be done. */
  readonly steps: readonly Step[];
}

/**
 * {@link examine}, and the plan that follows.
 *
 * @param root of the machine's files, or of a recorded tree
 * @param bdfs the devices that a VM is to get; none: the devices of vfio-pci
 */
export function diagnose(root: string, bdfs: readonly string[]): Diagnosis {
  const machine = new Machine(root);
  const checks = examine(machine, bdfs, memlockLimit(root));
  return { origin: originOfMachine(machine), checks, steps: stepsOf(machine, checks, bdfs) };
}
