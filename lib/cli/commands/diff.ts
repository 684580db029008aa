/** `iommufd diff`: what changes between two plans. */

import { Command, Option } from "commander";
import { IommufdError } from "../../errors.ts";
import { originOf } from "../../origin.ts";
import { comparePlans, diffDocument, formatDiff } from "../../report/diff-report.ts";
import { type PlanDocument, readPlanDocument } from "../../report/plan-document.ts";
import { addExamples } from "../examples.ts";
import { EXIT } from "../exit.ts";
import { readInput, sourceName } from "../input.ts";
import { addCommonOptions } from "../options.ts";
import { printJson, printText } from "../output.ts";

/** The command. */
export function diffCommand(): Command {
  const command = new Command("diff")
    .summary("tell what changes between two plans")
    .description(
      "Compares two plans that `iommufd plan --json` wrote: with bypassRo and without, of two VMs, of one VM before " +
        "and after a boot. It tells each range of addresses that is not treated alike, however the plans divide it.",
    )
    .argument("<before>", 'a plan as JSON; "-" is standard input')
    .argument("<after>", 'another; "-" is standard input')
    .addOption(new Option("--fail-on <what>", "exit code 3 when something changes").choices(["change"]));
  return addExamples(
    addCommonOptions(command),
    "iommufd plan guest.mtree --bypass-ro off --json > before.json",
    "iommufd plan guest.mtree --bypass-ro on --json | iommufd diff before.json -",
  ).action(diff);
}

async function diff(
  before: string,
  after: string,
  { json = false, failOn }: { json?: boolean; failOn?: string },
): Promise<void> {
  if (before === "-" && after === "-")
    throw new IommufdError("ERR_IOMMUFD_INPUT", "only one of the two plans can come from standard input");
  const result = comparePlans(await read(before), await read(after), originOf(undefined));
  if (json) printJson(diffDocument(result));
  else printText(formatDiff(result));
  if (failOn === "change" && result.changes.length > 0) process.exitCode = EXIT.no;
}

async function read(file: string): Promise<PlanDocument> {
  return readPlanDocument(await readInput(file), sourceName(file));
}
