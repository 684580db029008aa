/** `iommufd diff`: what changes between two plans. */

import { Command, Option } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { addCommonOptions, GROUPS } from "../options.ts";

/** The command. */
export function diffCommand(): Command {
  const command = new Command("diff")
    .summary("list what changes between two plans")
    .description(
      "Compares two plans that `iommufd plan --json` wrote: with bypassRo and without, of two VMs, of one VM before " +
        "and after a boot. It lists each range of addresses that the plans treat differently, however they divide it.",
    )
    .argument("<before>", 'a plan as JSON; "-" is standard input')
    .argument("<after>", 'another; "-" is standard input')
    .optionsGroup(GROUPS.output)
    .addOption(new Option("--fail-on <what>", "exit code 3 when something changes").choices(["change"]));
  return addExamples(
    addCommonOptions(command),
    "iommufd plan guest.mtree --bypass-ro off --json > before.json",
    "iommufd plan guest.mtree --bypass-ro on --json | iommufd diff before.json -",
  ).action(later(async () => (await import("../actions/diff.ts")).diff));
}
