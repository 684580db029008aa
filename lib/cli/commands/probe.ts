/** `iommufd probe`: what the IOMMU of each device is, and whether it reports the erratum. */

import { Command, Option } from "commander";
import { addExamples } from "../examples.ts";
import { later } from "../later.ts";
import { addBackendOptions, addCommonOptions, DEVICES_ARGUMENT, GROUPS } from "../options.ts";

/** The command. */
export function probeCommand(): Command {
  const command = addBackendOptions(new Command("probe").argument(...DEVICES_ARGUMENT))
    .summary("ask the IOMMU of each device what it is")
    .description(
      "Binds each device, asks its IOMMU what it is (IOMMU_GET_HW_INFO), says whether ERRATA_772415_SPR17 is " +
        "reported, and closes it again. Opening and closing a device resets it, where it can be reset. " +
        "A device that cannot be probed is reported in its row, and the exit code is 1. With --format prometheus and nfd " +
        "a host without iommufd is reported as such, and a model answers only to --backend software or --profile.",
    )
    .optionsGroup(GROUPS.output)
    .addOption(
      new Option(
        "--format <name>",
        "for people, for programs, for node_exporter's textfile collector, or for Node Feature Discovery",
      )
        .choices(["table", "json", "prometheus", "nfd"])
        .conflicts("json")
        .default("table"),
    )
    .option("--output <file>", "write to a file, whole or not at all, instead of to standard output")
    .addOption(
      new Option(
        "--fail-on <what>",
        "exit code 3 when a device's IOMMU reports the erratum, or does not say; 1 when no device could be asked",
      ).choices(["erratum"]),
    );
  return addExamples(
    addCommonOptions(command, { trace: true }),
    "iommufd probe",
    "iommufd probe 6a:01.0 --json",
    "iommufd probe --profile sapphire-rapids",
    "iommufd probe --fail-on erratum || echo do not nest here",
    "iommufd probe --format prometheus --output /var/lib/prometheus/node-exporter/iommufd.prom",
    "iommufd probe --format nfd --output /etc/kubernetes/node-feature-discovery/features.d/iommufd",
  ).action(later(async () => (await import("../actions/probe.ts")).probe));
}
