/**
 * Advice for the configuration of QEMU. The names of its properties depend on its version: both are named, and how to
 * ask.
 */

import type { PropertyNames, RunningVm } from "../memory-map/running-qemu.ts";
import { wrap } from "./text.ts";

/** The facts that advice depends on. */
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
  /** How many mappings are at addresses where the host maps nothing; 0 if it was not asked. */
  readonly outside: number;
}

/** One thing to do, or to know. */
export interface Advice {
  /** Sentences for people; running text, to be wrapped. */
  readonly text: string;
  /** Commands or settings, one a line; never wrapped. */
  readonly commands?: readonly string[];
}

/**
 * Advice for the VM that a plan is of.
 *
 * @param vm the running VM, whose QEMU has told its names; undefined: it is not known which QEMU it is
 */
export function adviceForQemu(situation: Situation, vm?: RunningVm): Advice[] {
  const { nesting, affected, nestParent, bypassRo, leftOut, outside } = situation;
  const names = vm?.propertyNames;
  const elsewhere = outside === 0 ? [] : [ELSEWHERE];
  if (!nesting) {
    return outside > 0
      ? elsewhere
      : [{ text: "nothing to do: without nested translation, read-only mappings are safe on every host" }];
  }
  if (nestParent === false) {
    return [
      {
        text:
          "nested translation is not available for this device: the kernel makes no nest parent for it (EOPNOTSUPP); " +
          "`iommufd doctor` shows why; --no-nesting plans without nesting",
      },
    ];
  }
  if (!affected && !bypassRo) {
    const nothing = { text: "nothing to do: this host may nest and map read-only memory" };
    if (affected === false && nestParent) return outside > 0 ? elsewhere : [nothing];
    return [
      ...elsewhere,
      {
        text: "unknown: no IOMMU was asked whether it may nest with read-only memory mapped; name a device (--device)",
      },
    ];
  }
  return [
    ...elsewhere,
    { text: adviceOnVersion(vm?.version, leftOut) },
    {
      text:
        `if the guest needs no scalable mode, turn scalable mode off${names === undefined ? " (older QEMUs: x-scalable-mode)" : ""}; ` +
        "read-only memory then stays mapped:",
      commands: [`-device intel-iommu,${names?.scalableMode ?? "scalable-mode"}=off`],
    },
    {
      text:
        'if the guest needs scalable mode, boot it with "intel_iommu=on,sm_on": a guest in legacy mode ' +
        '("intel_iommu=on,sm_off") is not supported on such a host, nor is a kexec or reboot from sm_on to sm_off',
    },
    names === undefined ? ANY_NAMES : itsNames(names),
  ];
}

/** Commit 68d3a2a24d is of January 2026, and so in 11.0; earlier ones have it where who packaged them put it there. */
function adviceOnVersion(version: string | undefined, leftOut: number): string {
  const does =
    leftOut === 0
      ? "it leaves read-only sections out by itself"
      : `it leaves ${leftOut === 1 ? "the read-only section" : `the ${leftOut} read-only sections`} out by itself`;
  if (version === undefined) return `use a QEMU with commit 68d3a2a24d (January 2026) or later: ${does}`;
  return Number.parseInt(version, 10) >= 11
    ? `this QEMU has commit 68d3a2a24d: ${does}`
    : `use QEMU 11.0 or later, or one with commit 68d3a2a24d: ${does}`;
}

const ELSEWHERE: Advice = {
  text: "the VM has memory at addresses where the host maps nothing: `iommufd check` names it, and says what helps",
};

const ANY_NAMES: Advice = {
  text:
    "scalable-mode=on (older: x-scalable-mode=on) and fsts=on (older: flts=on, x-flts=on) turn nesting on; " +
    "QEMU lists the names that it has:",
  commands: ["qemu-system-x86_64 -device intel-iommu,help"],
};

function itsNames({ scalableMode, firstStage }: PropertyNames): Advice {
  return firstStage === undefined
    ? { text: "this QEMU has no first-stage translation, and so no nesting" }
    : { text: `${scalableMode}=on and ${firstStage}=on turn nesting on` };
}

/** Advice as lines of a text: a list where there are several. */
export function formatAdvice(advice: readonly Advice[], width: number): string[] {
  const marker = advice.length === 1 ? "" : "- ";
  return advice.flatMap(({ text, commands = [] }) => [
    ...wrap(text, width - marker.length).map(
      (line, index) => `${index === 0 ? marker : " ".repeat(marker.length)}${line}`,
    ),
    ...commands.map((command) => `    ${command}`),
  ]);
}
