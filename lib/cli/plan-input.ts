/** What the commands about plans read and write. */

import { IommufdError } from "../errors.ts";
import { readMemoryMapFrom } from "../memory-map/memory-map.ts";
import { askLibvirt, askQemu, type RunningVm } from "../memory-map/running-qemu.ts";
import type { MemorySection } from "../section.ts";
import { readChunks, sourceName } from "./input.ts";
import { printJson, printPieces } from "./output.ts";
import type { PlanFlags } from "./plan-options.ts";

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
  report: { document: () => object; text: () => Iterable<string>; page: () => Promise<string> },
): Promise<void> {
  if (json) printJson(report.document());
  else if (html !== "-") printPieces(report.text());
  if (html === undefined) return;
  const { writeOutput } = await import("./output-file.ts");
  await writeOutput(html, await report.page());
}
