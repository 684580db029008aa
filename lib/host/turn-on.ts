/** The steps that turn an IOMMU on if none is in use: the firmware, the kernel, its command line, in one go. */

import { decodeAmd } from "../hw-info/amd.ts";
import { decodeVtd } from "../hw-info/vtd.ts";
import { type Need, wordsOf } from "./check.ts";
import type { KernelOption } from "./kernel-config.ts";
import type { Machine } from "./machine.ts";

/** The remedy, in words and as needs. */
export interface Remedy {
  readonly fix: string;
  readonly needs: readonly Need[];
}

/** For a machine whose IOMMU is not in use. */
export function turnOn(machine: Machine): Remedy {
  const { make, guest, cloud } = machine.platform;
  if (guest && cloud !== undefined) return ofCloud(cloud);
  const needs = make === undefined ? [] : NEEDS[make](machine);
  // The guest's own kernel has to use what it is given: in the same go.
  if (guest) return ofHypervisor(needs.filter(({ kind }) => kind !== "firmware"));
  if (needs.length > 0) return { fix: `turn it on: ${needs.map(wordsOf).join("; ")}`, needs };
  if (make === undefined) {
    const text = "turn the IOMMU on in the firmware's setup";
    return { fix: text, needs: [{ kind: "firmware", text }] };
  }
  const text = `find out why Linux does not use its IOMMU: dmesg | grep -e ${LOG_WORDS[make]}`;
  return { fix: text, needs: [{ kind: "decision", text }] };
}

/** The lines of the kernel log about each. */
const LOG_WORDS = { intel: "DMAR", amd: "AMD-Vi -e IVRS", arm: "arm-smmu-v3 -e IORT" } as const;

const NEEDS = { intel: needsOfIntel, amd: needsOfAmd, arm: needsOfArm } as const;

function ofHypervisor(others: readonly Need[]): Remedy {
  const how = "(QEMU: -device intel-iommu, amd-iommu, or -machine virt,iommu=smmuv3)";
  return {
    fix: `this is a guest: its hypervisor has to give it an IOMMU ${how}`,
    needs: [{ kind: "hypervisor", text: `have the hypervisor give this guest an IOMMU ${how}` }, ...others],
  };
}

function ofCloud(cloud: string): Remedy {
  const text = `take an instance on bare metal: ${cloud} has given this guest no IOMMU, or not all of one`;
  return { fix: text, needs: [{ kind: "elsewhere", text }] };
}

/** drivers/iommu/intel/iommu.c, intel_iommu_setup(): CONFIG_INTEL_IOMMU_DEFAULT_ON, then words, the last of which counts. */
function needsOfIntel(machine: Machine): Need[] {
  const { kernelConfig } = machine;
  const off = wordsThatTurnOff(machine, /^iommu=(.*,)?off\b/);
  const asked = intelOptions(machine).findLast((option) => option === "on" || option === "off");
  const isOn = asked === "on" || (asked === undefined && kernelConfig?.has("CONFIG_INTEL_IOMMU_DEFAULT_ON"));
  const needs = [
    ...lacks(machine, "CONFIG_INTEL_IOMMU"),
    ...firmware(machine, "DMAR", "VT-d (Intel Virtualization Technology for Directed I/O)"),
    ...scalableModeWords(machine, isOn ? "if-needed" : "on"),
  ];
  return off.length === 0 ? needs : [...needs, { kind: "parameters", add: [], remove: off }];
}

function needsOfAmd(machine: Machine): Need[] {
  const off = wordsThatTurnOff(machine, /^(amd_iommu=off|iommu=(.*,)?off\b)/);
  return [
    ...lacks(machine, "CONFIG_AMD_IOMMU"),
    ...firmware(machine, "IVRS", "IOMMU (AMD-Vi)"),
    ...(off.length === 0 ? [] : [{ kind: "parameters", add: [], remove: off } as const]),
  ];
}

function needsOfArm(machine: Machine): Need[] {
  return [
    ...lacks(machine, "CONFIG_ARM_SMMU_V3"),
    ...firmware(machine, "IORT", "SMMUv3 (it has to be in the IORT table, or in the device tree)"),
  ];
}

function lacks({ kernelConfig }: Machine, option: KernelOption): Need[] {
  return kernelConfig?.has(option) === false ? [{ kind: "kernel", text: `with ${option}` }] : [];
}

/** Firmware that has the table has turned its side on. */
function firmware(machine: Machine, table: string, setting: string): Need[] {
  const has = machine.hasFirmwareTable(table);
  if (has === true) return [];
  const unless = has === undefined ? `, unless ls /sys/firmware/acpi/tables has ${table}` : "";
  return [{ kind: "firmware", text: `turn on ${setting} in the firmware's setup${unless}` }];
}

function wordsThatTurnOff({ commandLine }: Machine, pattern: RegExp): string[] {
  return [...new Set(commandLine?.filter((word) => pattern.test(word)))];
}

/** The values of all intel_iommu= of the command line, in order: "on", "sm_on". */
export function intelOptions({ commandLine }: Machine): string[] {
  return intelWords(commandLine).flatMap((word) => word.slice("intel_iommu=".length).split(","));
}

function intelWords(commandLine: readonly string[] | undefined): string[] {
  return commandLine?.filter((word) => word.startsWith("intel_iommu=")) ?? [];
}

/**
 * The one word for intel_iommu= that brings scalable mode, if that is of use, in the place of those that are there.
 *
 * @param on "on": the IOMMU itself is off, and has to be turned on by a word
 */
export function scalableModeWords(machine: Machine, on: "on" | "if-needed"): Need[] {
  const options = intelOptions(machine);
  const isDefault = machine.kernelConfig?.has("CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON") ?? false;
  const asked = options.findLast((option) => option === "sm_on" || option === "sm_off");
  const ofUse = canNest(machine) !== false;
  const wanted = ofUse && asked !== "sm_on" && !(isDefault && asked === undefined);
  if (!wanted && on === "if-needed") return [];
  const others = [...new Set(options)].filter((option) => !["on", "off", "sm_on", "sm_off"].includes(option));
  const scalable = wanted || (ofUse && asked === "sm_on") ? ["sm_on"] : [];
  const add = [`intel_iommu=${["on", ...scalable, ...others].join(",")}`];
  return [{ kind: "parameters", add, remove: [...new Set(intelWords(machine.commandLine))] }];
}

/** Whether an IOMMU of this machine is able to nest; undefined where none shows its registers. */
export function canNest({ vtdUnits, unusedVtdUnits, amdUnits }: Machine): boolean | undefined {
  const able = [
    ...[...vtdUnits, ...unusedVtdUnits].map(({ capReg, ecapReg }) => decodeVtd(capReg, ecapReg)),
    ...amdUnits.map(decodeAmd),
  ].map(({ derived }) => derived.nestedTranslation);
  return able.length === 0 ? undefined : able.includes(true);
}
