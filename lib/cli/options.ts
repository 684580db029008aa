/** Options that several commands have. */

import { statSync } from "node:fs";
import { type Command, Option } from "commander";
import { BACKEND_CHOICES, BACKEND_VARIABLE, type BackendChoice, DEFAULT_PROFILE } from "../backend/choice.ts";
import { shippedProfiles } from "../backend/software/shipped-profiles.ts";
import { IommufdError } from "../errors.ts";

/** Values of {@link addBackendOptions}. */
export interface BackendFlags {
  backend?: BackendChoice;
  profile?: string;
  trace?: boolean;
  quiet?: boolean;
  /** The output is for programs, and not for people. */
  json?: boolean;
}

/** The devices that a command is about, as an argument. */
export const DEVICES_ARGUMENT = [
  "[bdf...]",
  "PCI addresses, such as 0000:6a:01.0 (default: all devices bound to vfio-pci)",
] as const;

/** Under which headings help lists options, in this order. */
export const GROUPS = {
  input: "Input:",
  host: "Host:",
  output: "Output:",
  diagnosis: "Diagnosis:",
} as const;

/** Adds `--backend` and `--profile`. */
export function addBackendOptions(command: Command): Command {
  return command
    .optionsGroup(GROUPS.host)
    .addOption(
      new Option(
        "--backend <name>",
        `who answers: the kernel, a model of it, or (auto) the kernel where there is one, else the model (default: ${BACKEND_VARIABLE} in the environment, else kernel)`,
      ).choices(BACKEND_CHOICES),
    )
    .option(
      "--profile <name|file>",
      `the machine that the software backend models: ${shippedProfiles().join(", ")}, or a JSON file (default: ${DEFAULT_PROFILE})`,
    );
}

/** Adds `--quiet` and `--debug`, which every command has but `completion` and `help`, `--json`, which most have, and `--trace`, of those that ask an IOMMU. */
export function addCommonOptions(command: Command, { json = true, trace = false } = {}): Command {
  command.optionsGroup(GROUPS.output);
  if (json) command.option("--json", "print JSON instead of text");
  command.option("--quiet", "print results and errors alone: no remarks, no progress");
  command.optionsGroup(GROUPS.diagnosis);
  if (trace) command.option("--trace", "print every ioctl to standard error, one a line");
  return command.option("--debug", "show where an error comes from");
}

/** Adds `--root`. */
export function addRootOption(command: Command): Command {
  return command
    .optionsGroup(GROUPS.host)
    .addOption(
      new Option("--root <directory>", "a recorded tree of another machine: proc, sys, dev, boot")
        .argParser(checkRoot)
        .default("/"),
    );
}

function checkRoot(root: string): string {
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory())
    throw new IommufdError("ERR_IOMMUFD_INPUT", `--root: ${root}: no such directory`);
  return root;
}
