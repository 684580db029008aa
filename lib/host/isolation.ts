/**
 * Whether a device's interrupts are isolated: iommufd takes no device whose DMA could raise any interrupt of the host
 * (iommu_group_has_isolated_msi(); VFIO_DEVICE_BIND_IOMMUFD answers EPERM), unless its parameter allow_unsafe_interrupts says so.
 */

import { decodeVtd } from "../hw-info/vtd.ts";
import { fail, type HostCheck, type Need, pass, unknown, warn, wordsOf } from "./check.ts";
import type { Machine } from "./machine.ts";
import { turnOn } from "./turn-on.ts";

const NAME = "interrupt isolation";

const PARAMETER = "/sys/module/iommufd/parameters/allow_unsafe_interrupts";

/** Words of the kernel's command line that turn interrupt remapping off (Documentation/admin-guide/kernel-parameters.txt). */
const OFF = /^(intremap=.*\boff\b.*|nointremap)$/;

/** The isolation of interrupts, and how it is known. */
interface Isolation {
  readonly isolated: boolean;
  readonly how: string;
}

/** Looks where everybody may: which chips deliver interrupts, the units' registers, the command line. */
export function checkIsolation(machine: Machine): HostCheck {
  const found = isolationOf(machine);
  if (found === undefined) {
    return unknown(
      NAME,
      "nothing shows whether interrupts are remapped (/proc/interrupts, ECAP.IR, the kernel log)",
      "`iommufd probe` tells: where they are not, binding a device answers EPERM",
    );
  }
  if (found.isolated) return pass(NAME, found.how);
  const need = howToRemap(machine);
  if (machine.allowsUnsafeInterrupts) {
    return warn(
      NAME,
      `${found.how}; iommufd is told to take devices all the same (allow_unsafe_interrupts)`,
      `a guest can raise any interrupt of the host: ${wordsOf(need)}, and echo N > ${PARAMETER}`,
      need,
    );
  }
  return fail(
    NAME,
    `${found.how}: binding a device answers EPERM`,
    `${wordsOf(need)}; or, where every guest is trusted with the host, echo Y > ${PARAMETER}`,
    need,
  );
}

function isolationOf(machine: Machine): Isolation | undefined {
  const { interrupts, vtdUnits, kernelLog } = machine;
  const word = wordThatTurnsOff(machine);
  const asTold = word === undefined ? "" : `, as ${word} tells`;
  const { remapped, isPlain } = chipsOf(interrupts ?? "");
  // An IOMMU's own interrupt is never remapped: one chip that is remapped is enough, one that is not says nothing.
  if (remapped !== undefined)
    return { isolated: true, how: `interrupts are remapped (${remapped} in /proc/interrupts)` };
  if (isPlain) return { isolated: false, how: `interrupts are not remapped (/proc/interrupts)${asTold}` };

  const without = vtdUnits.filter(({ capReg, ecapReg }) => decodeVtd(capReg, ecapReg).ecap["IR"] === 0);
  if (without.length > 0) {
    const names = without.map(({ name }) => name).join(", ");
    return { isolated: false, how: `no interrupt remapping in ${names} (ECAP.IR)` };
  }
  if (word !== undefined) return { isolated: false, how: `interrupts are not remapped${asTold}` };
  // Intel's driver, then AMD's (drivers/iommu/intel/irq_remapping.c, drivers/iommu/amd/init.c).
  if (/Enabled IRQ remapping in \w+ mode|AMD-Vi: Interrupt remapping enabled/.test(kernelLog?.text ?? ""))
    return { isolated: true, how: "interrupts are remapped (kernel log)" };
  return undefined;
}

/**
 * The chips that /proc/interrupts names, behind the counts of each processor: the first that is remapped,
 * "IR-PCI-MSIX-0000:00:04.0", and whether one is not.
 */
function chipsOf(interrupts: string): { remapped: string | undefined; isPlain: boolean } {
  let isPlain = false;
  for (const [, chip = ""] of interrupts.matchAll(/^ *\d+:[ \d]* ([^\s\d]\S*)/gm)) {
    if (/^(IR|ITS)-/.test(chip)) return { remapped: chip, isPlain };
    isPlain ||= /^(IO-APIC|PCI-MSI|GICv2m)/.test(chip);
  }
  return { remapped: undefined, isPlain };
}

function wordThatTurnsOff({ commandLine }: Machine): string | undefined {
  return commandLine?.find((each) => OFF.test(each));
}

function howToRemap(machine: Machine): Need {
  const { guest, cloud, make } = machine.platform;
  const word = wordThatTurnsOff(machine);
  if (word !== undefined) return { kind: "parameters", add: [], remove: [word] };
  // The steps that turn the IOMMU on bring this, too.
  const [first] = machine.iommus.length === 0 || cloud !== undefined ? turnOn(machine).needs : [];
  if (first?.kind === "elsewhere" || first?.kind === "firmware") return first;
  if (guest) {
    const text =
      "give this guest's IOMMU interrupt remapping (QEMU: -machine kernel-irqchip=split -device intel-iommu,intremap=on)";
    return { kind: "hypervisor", text };
  }
  if (make === "arm")
    return { kind: "decision", text: "use a machine whose interrupt controller has an ITS (GICv3)" };
  const where = make === "amd" ? "AMD's IOMMU" : make === "intel" ? "VT-d" : "the IOMMU";
  return { kind: "firmware", text: `turn on interrupt remapping with ${where} in the firmware's setup` };
}
