/** `iommufd capture`: this machine as a profile for the software backend. */

import { release, type as system } from "node:os";
import { Command, Option } from "commander";
import { normalizeBdf } from "../../bdf.ts";
import { captureProfile } from "../../container/capture.ts";
import { IommufdError } from "../../errors.ts";
import { addExamples } from "../examples.ts";
import { EXIT } from "../exit.ts";
import {
  addBackendOptions,
  addCommonOptions,
  type BackendFlags,
  DEVICES_ARGUMENT,
  withIommufd,
} from "../options.ts";
import { jsonText, printError, printJson } from "../output.ts";
import { writeOutput } from "../output-file.ts";

interface CaptureFlags extends BackendFlags {
  name: string;
  description?: string;
  output?: string;
  debug?: boolean;
}

/** The command. */
export function captureCommand(): Command {
  const command = new Command("capture")
    .summary("write this machine as a profile")
    .description(
      "Writes the devices that vfio-pci has, and the IOMMUs that they are behind, as a profile: a JSON document that " +
        "the software backend replays anywhere (--profile FILE). Each device is bound and closed again, which resets it " +
        "where it can be reset; nothing is mapped. A device that cannot be captured is named and left out, and the exit code is 1.",
    )
    .argument(...DEVICES_ARGUMENT)
    .addOption(new Option("--name <name>", "what the profile is called").default("captured"))
    .option("--description <text>", "what it says of itself (default: which kernel it is from)")
    .option("--output <file>", "write to a file, whole or not at all, instead of to standard output");
  return addExamples(
    addCommonOptions(addBackendOptions(command)),
    "iommufd capture --output host.json",
    "iommufd probe --profile ./host.json",
  ).action(capture);
}

async function capture(bdfs: string[], { name, description, output, ...flags }: CaptureFlags): Promise<void> {
  const profile = await withIommufd({ ...flags, json: true }, (iommufd) => {
    const which = bdfs.length > 0 ? bdfs.map(normalizeBdf) : iommufd.devices();
    if (which.length === 0) {
      throw new IommufdError(
        "ERR_IOMMUFD_NO_DEVICE",
        "no devices are bound to vfio-pci: there is nothing to capture",
      );
    }
    const source = iommufd.backend === "kernel" ? `${system()} ${release()}` : "a model";
    const words = { name, description: description ?? `Captured from ${source}.` };
    const captured = captureProfile(iommufd, which, words, (bdf, error) => {
      const { message } = error;
      printError(
        new Error(message.startsWith(bdf) ? message : `${bdf}: ${message}`, { cause: error }),
        flags.debug ?? false,
      );
      process.exitCode = EXIT.failed;
    });
    if (captured.devices.length > 0) return captured;
    throw new IommufdError("ERR_IOMMUFD_NO_DEVICE", "no device could be captured; nothing was written");
  });
  if (output === undefined) printJson(profile);
  else await writeOutput(output, jsonText(profile));
}
