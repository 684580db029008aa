/** `iommufd capture`: this machine as a profile for the software backend. */

import { Command, Option } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { addBackendOptions, addCommonOptions, DEVICES_ARGUMENT, GROUPS } from "../options.ts";

/** The command. */
export function captureCommand(): Command {
  const command = addBackendOptions(new Command("capture").argument(...DEVICES_ARGUMENT))
    .summary("write this machine as a profile")
    .description(
      "Writes the devices that vfio-pci has, and the IOMMUs that they are behind, as a profile: a JSON document that " +
        "the software backend replays anywhere (--profile FILE). Each device is bound and closed again, which resets it " +
        "where it can be reset; nothing is mapped. A device that cannot be captured is named and left out, and the exit code is 1.",
    )
    .optionsGroup(GROUPS.output)
    .addOption(new Option("--name <name>", "what the profile is called").default("captured"))
    .option("--description <text>", "what it says of itself (default: which kernel it is from)")
    .option("--output <file>", "write to a file, whole or not at all, instead of to standard output");
  return addExamples(
    addCommonOptions(command, { trace: true }),
    "iommufd capture --output host.json",
    "iommufd probe --profile ./host.json",
  ).action(later(async () => (await import("../actions/capture.ts")).capture));
}
