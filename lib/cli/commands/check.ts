/** `iommufd check`: whether a plan would be accepted, tried for real without a VM. */

import { Command, Option } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { addPlanOptions } from "../plan-options.ts";

/** The command. */
export function checkCommand(): Command {
  const command = new Command("check")
    .summary("try a plan for real, without a VM")
    .description(
      "Plans as `iommufd plan` does, and makes of it what a VMM would: binds the devices, makes the domain, attaches " +
        "them, and makes every mapping at its own IOVA and length, with a little memory in place of the guest's. Then all " +
        "is undone. It says whether the kernel accepts the plan, or which section the kernel refuses, why, and what helps. Exit " +
        "code 3: it refuses.",
    );
  return addExamples(
    addPlanOptions(
      command,
      new Option("--device <bdf...>", "the devices that the VM gets (default: the only one there is)"),
    ),
    "iommufd check guest.mtree --device 6a:01.0",
    "iommufd check guest.mtree --device 6a:01.0 6a:02.0 --no-nesting",
    "iommufd check guest.mtree --profile sapphire-rapids --bypass-ro off",
  ).action(later(async () => (await import("../actions/check.ts")).check));
}
