/** Whether there is an IOMMU that can nest, and what is known to be broken in it. */

import { decodeAmd } from "../hw-info/amd.ts";
import { decodeVtd } from "../hw-info/vtd.ts";
import { fail, type HostCheck, pass, unknown, warn, wordsOf } from "./check.ts";
import type { Machine } from "./machine.ts";
import { IOMMU_NAMES } from "./platform.ts";
import { leaveOut } from "./symptom-checks.ts";
import { canNest, intelOptions, scalableModeWords, turnOn } from "./turn-on.ts";

/** Sapphire Rapids, whose specification update (Intel 772415) has the erratum as SPR17. */
const SAPPHIRE_RAPIDS = { vendor: "GenuineIntel", family: 6, model: 143 } as const;

const PROBE = "`iommufd probe` tells: it asks the kernel for a nest parent for each device";

/** Whether an IOMMU is in use. A mock of a test kernel is none. */
export function checkIommus(machine: Machine): HostCheck {
  const name = "IOMMU";
  const { iommus, mockIommus, commandLine, platform } = machine;
  const mocks =
    mockIommus.length === 0
      ? ""
      : ` (besides a mock of the kernel's own tests, which is none: ${mockIommus.join(", ")})`;
  if (iommus.length > 0) return pass(name, `${iommus.join(", ")}${mocks}`);
  const word = commandLine?.findLast((each) => /^(intel_iommu|iommu|amd_iommu)=/.test(each));
  const there =
    machine.unusedVtdUnits.length === 0
      ? ""
      : `; the kernel log names ${machine.unusedVtdUnits.map((unit) => unit.name).join(", ")}`;
  const { fix, needs } = turnOn(machine);
  return fail(
    name,
    `none is in use${word === undefined ? "" : `, with ${word}`}${there}${mocks}`,
    platform.container ? `on the host of this container: ${fix}` : fix,
    ...needs,
  );
}

/** The features that the registers of the units allow; whether Linux uses them is {@link checkScalableMode}. */
export function checkNesting(machine: Machine): HostCheck {
  const name = "nested translation";
  const { vtdUnits, unusedVtdUnits, amdUnits } = machine;
  const units = [
    ...[...vtdUnits, ...unusedVtdUnits].map((unit) => ({
      name: unit.name,
      able: decodeVtd(unit.capReg, unit.ecapReg).derived.nestedTranslation,
    })),
    ...amdUnits.map((unit) => ({ name: unit.name, able: decodeAmd(unit).derived.nestedTranslation })),
  ];
  if (units.length === 0) return unknown(name, "no IOMMU shows its registers in /sys/class/iommu", PROBE);
  const kind = amdUnits.length > 0 ? "AMD's IOMMUs" : "the VT-d units";
  const needs = amdUnits.length > 0 ? " (EFR GTSup and GIoSup, EFR2 GCR3TRPMode)" : "";
  const names = (able: boolean) =>
    units
      .filter((unit) => unit.able === able)
      .map((unit) => unit.name)
      .join(", ");
  const [able, unable] = [names(true), names(false)];
  if (able === "") {
    return fail(
      name,
      `none of ${kind} is able to: ${unable}${needs}`,
      "use another host, or do without nested translation: `iommufd plan --no-nesting`",
    );
  }
  if (unable === "") return pass(name, `able to: ${able}`);
  return warn(
    name,
    `able to: ${able}; not: ${unable}${needs}`,
    "`iommufd probe` tells which a device is behind",
  );
}

/**
 * A mode of VT-d alone, for nested translation. Linux says in its log alone whether it is on; the command line and its default
 * decide it (drivers/iommu/intel/iommu.c). Nothing is said where no unit nests, or no unit is in use: that is another check's.
 */
export function checkScalableMode(machine: Machine): HostCheck[] {
  const name = "scalable mode";
  const { vtdUnits, commandLine, kernelConfig } = machine;
  if (vtdUnits.length === 0 || canNest(machine) === false) return [];
  if (commandLine === undefined)
    return [
      unknown(name, "no /proc/cmdline", "nesting needs it: intel_iommu=on,sm_on on the kernel command line"),
    ];
  const word = intelOptions(machine).findLast((each) => each === "sm_on" || each === "sm_off");
  const needs = scalableModeWords(machine, "if-needed");
  const fix = needs.map(wordsOf).join("; ");
  if (word === "sm_on") return [pass(name, "asked for on the kernel command line (sm_on)")];
  if (word === "sm_off")
    return [fail(name, "switched off on the kernel command line (sm_off)", fix, ...needs)];
  if (kernelConfig === undefined)
    return [warn(name, "as this kernel's default is, which could not be seen", fix, ...needs)];
  return [
    kernelConfig.has("CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON")
      ? pass(name, "this kernel's default")
      : fail(name, "not this kernel's default, nor asked for", fix, ...needs),
  ];
}

/**
 * ERRATA_772415_SPR17 on this processor, and in this Linux. The function intel_iommu_hw_info() sets the flag for every
 * VT-d unit, and no nest parent of VT-d takes a read-only mapping (since Linux 6.7; seen in 6.12 and 7.2).
 */
export function checkErratum(machine: Machine): HostCheck {
  const name = "erratum";
  const { cpu, iommus, platform } = machine;
  const { make, guest } = platform;
  if (guest && iommus.length === 0) return pass(name, "of no concern: this guest has no IOMMU");
  if (make === undefined) {
    return unknown(
      name,
      "neither an IOMMU nor /proc/cpuinfo shows the vendor of the IOMMU",
      "`iommufd probe` tells what the kernel reports for each device",
    );
  }
  if (make !== "intel")
    return pass(name, `ERRATA_772415_SPR17 is of Intel VT-d, and this is ${IOMMU_NAMES[make]}`);
  if (canNest(machine) === false)
    return pass(
      name,
      "of no concern: Linux refuses read-only mappings in nest parents alone, and no unit here nests",
    );
  return warn(
    name,
    describeErratum(cpu),
    "for nested translation leave read-only memory out: QEMU 11.0 and later do; `iommufd plan` shows what is left out",
    leaveOut(machine),
  );
}

/** The hardware that has the erratum, and what Linux does on all. */
function describeErratum(cpu: Machine["cpu"]): string {
  const everywhere =
    "since 6.7 Linux treats every VT-d unit as having ERRATA_772415_SPR17, and refuses read-only mappings in a nest parent";
  if (cpu === undefined) return `no /proc/cpuinfo shows the processor; ${everywhere}`;
  const { vendor, family, model } = SAPPHIRE_RAPIDS;
  const processor = `${cpu.name}, family ${cpu.family} model ${cpu.model}`;
  return cpu.vendor === vendor && cpu.family === family && cpu.model === model
    ? `${processor}, is Sapphire Rapids, which has ERRATA_772415_SPR17; since 6.7 Linux refuses read-only mappings in nest parents of VT-d`
    : `${processor}, is not Sapphire Rapids; ${everywhere}`;
}
