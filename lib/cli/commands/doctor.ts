/** `iommufd doctor`: whether this host is ready for iommufd with nesting. */

import { Command } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { addCommonOptions, addRootOption, DEVICES_ARGUMENT } from "../options.ts";

/** The command. */
export function doctorCommand(): Command {
  const command = new Command("doctor")
    .summary("say whether this host is ready, and what to do")
    .description(
      "Looks at the kernel, its configuration and its log, /dev/iommu, the IOMMUs and whether interrupts are isolated, the " +
        "processor, what installed QEMUs do, the limit on locked memory, and the devices that a VM is to get: their driver, " +
        "permissions, IOMMU group and users. It opens no device, changes nothing, and needs no privileges. If it cannot " +
        "see something, it says how to find out. Only `iommufd probe` asks the devices. Exit code 3: something stands in the way.",
    )
    .argument(...DEVICES_ARGUMENT);
  return addExamples(
    addCommonOptions(addRootOption(command)),
    "iommufd doctor",
    "iommufd doctor 6a:01.0 --json",
  ).action(later(async () => (await import("../actions/doctor.ts")).doctor));
}
