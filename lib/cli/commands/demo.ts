/** `iommufd demo`: what ERRATA_772415_SPR17 does, on modelled hardware. */

import { Command } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { addCommonOptions } from "../options.ts";

/** The command. */
export function demoCommand(): Command {
  const command = new Command("demo")
    .summary("show what the erratum does, on modelled hardware")
    .description(
      "Runs a guest with its I/O page table in ROM, and a device that writes once, on four modelled hosts: with " +
        "ERRATA_772415_SPR17 the IOMMU changes the ROM; with bypassRo, or without the erratum, it does not. It never " +
        "touches the machine that it runs on.",
    );
  return addExamples(addCommonOptions(command), "iommufd demo").action(
    later(async () => (await import("../actions/demo.ts")).demo),
  );
}
