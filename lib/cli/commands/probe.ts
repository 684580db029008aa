/** `iommufd probe`: what the IOMMU of each device is, and whether it reports the erratum. */

import { Command, Option } from "commander";
import type { ProbedDevice } from "../../container/probe.ts";
import { formatNodeFeatures } from "../../report/node-features.ts";
import { formatProbe, type ProbeReport, probeDocument } from "../../report/probe-report.ts";
import { addExamples } from "../examples.ts";
import { EXIT } from "../exit.ts";
import {
  addBackendOptions,
  addCommonOptions,
  type BackendFlags,
  DEVICES_ARGUMENT,
  withIommufd,
} from "../options.ts";
import { jsonText } from "../output.ts";
import { writeOutput } from "../output-file.ts";
import { probeDevices, probeHost } from "../probing.ts";

/** The command. */
export function probeCommand(): Command {
  const command = new Command("probe")
    .summary("ask the IOMMU of each device what it is")
    .description(
      "Binds each device, asks its IOMMU what it is (IOMMU_GET_HW_INFO), says whether ERRATA_772415_SPR17 is " +
        "reported, and closes it again. Opening and closing a device resets it, where it can be reset. " +
        "A device that cannot be probed is reported in its row, and the exit code is 1. With --format prometheus and nfd " +
        "a host without iommufd is reported as such, and a model answers only to --backend software or --profile.",
    )
    .argument(...DEVICES_ARGUMENT)
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
        "exit code 3 when a device's IOMMU reports the erratum, or does not tell",
      ).choices(["erratum"]),
    );
  return addExamples(
    addCommonOptions(addBackendOptions(command)),
    "iommufd probe",
    "iommufd probe 6a:01.0 --json",
    "iommufd probe --profile sapphire-rapids",
    "iommufd probe --fail-on erratum || echo do not nest here",
    "iommufd probe --format prometheus --output /var/lib/prometheus/node-exporter/iommufd.prom",
    "iommufd probe --format nfd --output /etc/kubernetes/node-feature-discovery/features.d/iommufd",
  ).action(probe);
}

type Format = "table" | "json" | "prometheus" | "nfd";

interface ProbeFlags extends BackendFlags {
  json?: boolean;
  format: Format;
  output?: string;
  failOn?: "erratum";
}

async function probe(bdfs: string[], flags: ProbeFlags): Promise<void> {
  const format = flags.json ? "json" : flags.format;
  if (format === "prometheus" || format === "nfd") {
    const report = await probeHost(flags, bdfs);
    const text = format === "nfd" ? formatNodeFeatures(report) : await formatMetrics(report);
    await tell(text, report?.devices ?? [], flags);
  } else {
    const report = await withIommufd({ ...flags, json: format === "json" }, (iommufd) =>
      probeDevices(iommufd, bdfs),
    );
    await tell(
      format === "json" ? jsonText(probeDocument(report)) : `${formatProbe(report)}\n`,
      report.devices,
      flags,
    );
  }
}

async function tell(
  text: string,
  devices: readonly ProbedDevice[],
  { output, failOn }: ProbeFlags,
): Promise<void> {
  if (output === undefined) process.stdout.write(text);
  else await writeOutput(output, text);
  if (devices.some(({ error }) => error !== null)) process.exitCode = EXIT.failed;
  if (failOn === "erratum" && devices.some(({ info }) => info !== null && info.erratum772415 !== false))
    process.exitCode = EXIT.no;
}

async function formatMetrics(report: ProbeReport | undefined): Promise<string> {
  // Loaded by those alone who need it: it takes longer than all else.
  const { addProbe, makeRegistry } = await import("../../report/metrics.ts");
  const registry = makeRegistry("text");
  addProbe(registry, report, Date.now());
  return await registry.metrics();
}
