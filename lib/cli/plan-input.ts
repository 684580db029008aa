/** What the commands about plans have in common: their options, their input, the device that decides. */

import { type Command, Option } from "commander";
import type { BypassRoSetting } from "../container/errata.ts";
import { IommufdError } from "../errors.ts";
import type { Iommufd } from "../iommufd/iommufd.ts";
import { readMemoryMapFrom } from "../memory-map/memory-map.ts";
import { askLibvirt, askQemu, type RunningVm } from "../memory-map/running-qemu.ts";
import type { MemorySection } from "../section.ts";
import { parseSize, readChunks, sourceName } from "./input.ts";
import { addBackendOptions, addCommonOptions, type BackendFlags } from "./options.ts";
import { printJson, printText } from "./output.ts";
import { writeOutput } from "./output-file.ts";

/** Values of {@link addPlanOptions}. */
export interface PlanFlags extends BackendFlags {
  qmp?: string;
  libvirt?: string;
  addressSpace: string;
  nesting?: boolean;
  bypassRo: BypassRoSetting;
  json?: boolean;
  pageSize?: number;
  html?: string;
}

/** Adds the memory map as an argument, and what a plan is made by. */
export function addPlanOptions(command: Command): Command {
  command
    .argument("[file]", 'the memory map; "-" is standard input')
    .option("--qmp <socket>", "ask a running QEMU instead, by its QMP socket (a Unix socket)")
    .option("--libvirt <domain>", "ask a running QEMU of libvirt instead, with virsh")
    .option("--address-space <name>", "the address space that the devices see", "memory")
    .option(
      "--nesting",
      "the VM wants nested translation (the default; of a running QEMU, as it was started)",
    )
    .option("--no-nesting", "the VM wants none")
    .addOption(
      new Option("--bypass-ro <when>", "leave out read-only sections: auto follows the IOMMU")
        .choices(["auto", "on", "off"])
        .default("auto"),
    )
    .option("--page-size <bytes>", "page size of the host, such as 64K (default: this host's)", parseSize)
    .option(
      "--html <file>",
      'also write the result as a page, to look at in a browser; "-" is standard output, and then nothing else is',
    );
  return addCommonOptions(addBackendOptions(command));
}

/** What a plan is made of. */
export interface PlanInput {
  /** What to call it in messages. */
  readonly source: string;
  readonly sections: readonly MemorySection[];
  readonly nesting: boolean;
  /** The VM, where it was asked. */
  readonly vm?: RunningVm;
}

/**
 * Reads the memory map of a file, or of a running QEMU.
 *
 * @param onDamage told what shows that a file is not whole; default: that is an error
 */
export async function readPlanInput(
  file: string | undefined,
  flags: PlanFlags,
  onDamage?: (damage: string) => void,
): Promise<PlanInput> {
  const { qmp, libvirt, addressSpace, nesting } = flags;
  if ([file, qmp, libvirt].filter((each) => each !== undefined).length !== 1) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      "say where the memory map is, once: a file, --qmp with the socket of a running QEMU, or --libvirt with a domain",
    );
  }
  if (flags.html === "-" && flags.json) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      "--json and --html - both write to standard output: give the page a file",
    );
  }
  if (file !== undefined) {
    const source = sourceName(file);
    const sections = await readMemoryMapFrom(readChunks(file), addressSpace, source, { onDamage });
    return { source, sections, nesting: nesting ?? true };
  }
  const vm =
    qmp !== undefined ? await askQemu(qmp, addressSpace) : await askLibvirt(String(libvirt), addressSpace);
  return { source: qmp ?? String(libvirt), sections: vm.sections, nesting: nesting ?? vm.nesting, vm };
}

/** Writes what came of a plan: as text or JSON, and as a page too where that is asked for. */
export async function writeReport(
  { json, html }: PlanFlags,
  report: { document: () => object; text: () => string; page: () => string },
): Promise<void> {
  if (json) printJson(report.document());
  else if (html !== "-") printText(report.text());
  if (html !== undefined) await writeOutput(html, report.page());
}

/** The device to ask where none is named. A model's devices are alike, so there the first will do. */
export function onlyDevice(iommufd: Iommufd): string {
  const [first, ...others] = iommufd.devices();
  if (first === undefined) {
    throw new IommufdError(
      "ERR_IOMMUFD_NO_DEVICE",
      "no device is bound to vfio-pci, so no IOMMU can be asked; bind one, or say --bypass-ro on or off, or --profile",
    );
  }
  if (others.length > 0 && iommufd.backend === "kernel") {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `several devices are bound to vfio-pci; say which one with --device: ${[first, ...others].join(", ")}`,
    );
  }
  return first;
}
