/**
 * What to configure in QEMU. The names of its properties depend on its version: both are named, and how to ask.
 */

import type { PropertyNames, RunningVm } from "../memory-map/running-qemu.ts";

/** What advice depends on. */
export interface Situation {
  /** Whether nested translation is wanted. */
  readonly nesting: boolean;
  /** Whether the IOMMU reports the erratum; undefined where it was not asked. */
  readonly affected: boolean | undefined;
  /** Whether the kernel makes a nest parent; undefined where that was not asked. */
  readonly nestParent: boolean | undefined;
  /** Whether read-only sections are left out. */
  readonly bypassRo: boolean;
  /** How many are. */
  readonly leftOut: number;
}

/**
 * Advice for the VM that a plan is of.
 *
 * @param vm the running VM, whose QEMU has told its names; undefined: it is not known which QEMU it is
 */
export function adviceForQemu(situation: Situation, vm?: RunningVm): string[] {
  const { nesting, affected, nestParent, bypassRo, leftOut } = situation;
  const names = vm?.propertyNames;
  if (!nesting) {
    return ["nothing to do: without nested translation, read-only mappings are safe on every host"];
  }
  if (nestParent === false) {
    return [
      "- nested translation is not to be had for this device: the kernel makes no nest parent for it (EOPNOTSUPP);",
      "  `iommufd doctor` tells why; the plan without nesting: --no-nesting",
    ];
  }
  if (!affected && !bypassRo) {
    return affected === false && nestParent
      ? ["nothing to do: this host may nest and map read-only memory"]
      : [
          "unknown: no IOMMU was asked whether it may nest, and map read-only memory then; name a device (--device)",
        ];
  }
  return [
    adviceOnVersion(vm?.version, leftOut),
    "- if the guest needs no scalable mode, turn it off, and read-only memory stays mapped:",
    names === undefined
      ? "    -device intel-iommu,scalable-mode=off        (older QEMUs: x-scalable-mode=off)"
      : `    -device intel-iommu,${names.scalableMode}=off`,
    '- if it does, boot it with "intel_iommu=on,sm_on": a guest in legacy mode ("intel_iommu=on,sm_off") is not',
    "  supported on such a host, nor is a kexec or reboot from sm_on to sm_off",
    ...(names === undefined ? anyNames() : itsNames(names)),
  ];
}

/** Commit 68d3a2a24d is of January 2026, and so in 11.0; earlier ones have it where who packaged them put it there. */
function adviceOnVersion(version: string | undefined, leftOut: number): string {
  const does =
    leftOut === 0
      ? "it leaves read-only sections out by itself"
      : `it leaves the ${leftOut === 1 ? "section" : `${leftOut} sections`} above out by itself`;
  if (version === undefined) return `- use a QEMU with commit 68d3a2a24d (January 2026) or later: ${does}`;
  return Number.parseInt(version, 10) >= 11
    ? `- this QEMU has commit 68d3a2a24d: ${does}`
    : `- use QEMU 11.0 or later, or one with commit 68d3a2a24d: ${does}`;
}

function anyNames(): string[] {
  return [
    "- nesting is on with scalable-mode=on (older: x-scalable-mode=on) and fsts=on (older: flts=on, x-flts=on);",
    "  which names yours has, it tells: qemu-system-x86_64 -device intel-iommu,help",
  ];
}

function itsNames({ scalableMode, firstStage }: PropertyNames): string[] {
  return firstStage === undefined
    ? ["- this QEMU has no first-stage translation, and so no nesting"]
    : [`- nesting is on with ${scalableMode}=on and ${firstStage}=on`];
}
