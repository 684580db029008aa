/** `iommufd plan`: which sections of a VM's memory map become DMA mappings, and which must not. */

import { Command, Option } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { addPlanOptions } from "../plan-options.ts";

/** The command. */
export function planCommand(): Command {
  const command = new Command("plan")
    .summary("decide which memory sections become DMA mappings")
    .description(
      "Reads a VM's memory map, as QEMU's monitor prints it for \"info mtree -f\" or as a JSON section list, or asks a " +
        "running QEMU, and lists which sections are mapped for DMA and which are left out, and why. Nothing is mapped.",
    );
  return addExamples(
    addPlanOptions(
      command,
      new Option("--device <bdf>", "the device whose IOMMU decides (default: the only one there is)"),
    ),
    "iommufd plan guest.mtree --device 6a:01.0",
    "iommufd plan guest.mtree --profile sapphire-rapids",
    "iommufd plan - --bypass-ro on --json < guest.mtree",
    "iommufd plan --qmp /run/vm/qmp.sock --device 6a:01.0",
    "iommufd plan --libvirt guest1 --device 6a:01.0",
  ).action(later(async () => (await import("../actions/plan.ts")).planFile));
}
