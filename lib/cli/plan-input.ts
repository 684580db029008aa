/** The input and output of the commands about plans. */

import { fstatSync } from "node:fs";
import { IommufdError } from "../errors.ts";
import { jsonPieces } from "../json.ts";
import { readMemoryMapFrom } from "../memory-map/memory-map.ts";
import { queryLibvirt, queryQemu, type RunningVm } from "../memory-map/running-qemu.ts";
import type { MemorySection } from "../section.ts";
import { readChunks, sourceName } from "./input.ts";
import { printNote, printPieces } from "./output.ts";
import type { PlanFlags } from "./plan-options.ts";

/** The facts for a plan. */
export interface PlanInput {
  /** Its name in messages. */
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
  const named = [file, qmp, libvirt].filter((each) => each !== undefined).length;
  const piped = named === 0 && isFed(process.stdin.fd);
  if (named !== 1 && !piped) throw nowhere();
  if (flags.html === "-" && flags.json) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      "--json and --html - both write to standard output: give the page a file",
    );
  }
  if (file !== undefined || piped) {
    const path = file ?? "-";
    const source = sourceName(path);
    const chunks = readChunks(path);
    const input = path === "-" ? fromStandardInput(chunks, { piped, quiet: flags.quiet }) : chunks;
    const sections = await readMemoryMapFrom(input, { addressSpace, source, onDamage });
    return { source, sections, nesting: nesting ?? true };
  }
  const vm =
    qmp !== undefined
      ? await queryQemu(qmp, { addressSpace })
      : await queryLibvirt(String(libvirt), { addressSpace });
  return { source: qmp ?? String(libvirt), sections: vm.sections, nesting: nesting ?? vm.nesting, vm };
}

function nowhere(): IommufdError {
  return new IommufdError(
    "ERR_IOMMUFD_INPUT",
    "say where the memory map is, once: a file (- is standard input), --qmp with the socket of a running QEMU, or --libvirt with a domain",
  );
}

/** Whether somebody feeds a descriptor: a pipe, a socket or a file, and no terminal or /dev/null. */
function isFed(descriptor: number): boolean {
  try {
    const stats = fstatSync(descriptor);
    return stats.isFIFO() || stats.isSocket() || stats.isFile();
  } catch {
    return false;
  }
}

/** How long nothing may come before whoever waits is told what for, in milliseconds. */
const PATIENCE = 2_000;

/**
 * Passes standard input on, and says so where nothing comes.
 *
 * @param piped nobody asked for it by name: without anything in it, nothing was meant by it
 */
async function* fromStandardInput(
  chunks: AsyncIterable<string>,
  { piped, quiet = false }: { piped: boolean; quiet: boolean | undefined },
): AsyncGenerator<string, void> {
  const waiting = setTimeout(() => {
    if (!quiet)
      printNote(
        "waiting for a memory map on standard input; Ctrl-C ends that. A file, --qmp or --libvirt can be named instead",
      );
  }, PATIENCE);
  let isEmpty = true;
  try {
    for await (const chunk of chunks) {
      clearTimeout(waiting);
      isEmpty &&= chunk === "";
      yield chunk;
    }
  } finally {
    clearTimeout(waiting);
  }
  if (isEmpty && piped) throw nowhere();
}

/** Writes what came of a plan: as text or JSON, and as a page too where that is asked for. */
export async function writeReport(
  { json, html }: PlanFlags,
  report: { document: () => object; text: () => Iterable<string>; page: () => Promise<string> },
): Promise<void> {
  if (json) await printPieces(jsonPieces(report.document()));
  else if (html !== "-") await printPieces(report.text());
  if (html === undefined) return;
  const { writeOutput } = await import("./output-file.ts");
  await writeOutput(html, await report.page());
}
