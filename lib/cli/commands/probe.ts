/** `iommufd probe`: what the IOMMU of each device is, and whether it reports the erratum. */

import { Command, Option } from "commander";
import { probeDevice } from "../../container/probe.ts";
import { formatProbe, type ProbeReport, probeDocument } from "../../report/probe-report.ts";
import { EXIT } from "../exit.ts";
import {
  addBackendOptions,
  addCommonOptions,
  type BackendFlags,
  DEVICES_ARGUMENT,
  withIommufd,
} from "../options.ts";
import { printJson, printText } from "../output.ts";

/** The command. */
export function probeCommand(): Command {
  const command = new Command("probe")
    .summary("ask the IOMMU of each device what it is")
    .description(
      "Binds each device, asks its IOMMU what it is (IOMMU_GET_HW_INFO), says whether ERRATA_772415_SPR17 is " +
        "reported, and closes it again. Opening and closing a device resets it, where it can be reset. " +
        "A device that cannot be probed is reported in its row, and the exit code is 1.",
    )
    .argument(...DEVICES_ARGUMENT)
    .addOption(
      new Option("--fail-on <what>", "exit code 3 when a device's IOMMU reports the erratum").choices([
        "erratum",
      ]),
    );
  return addCommonOptions(addBackendOptions(command))
    .addHelpText(
      "after",
      "\nExamples:\n  iommufd probe\n  iommufd probe 6a:01.0 --json\n  iommufd probe --profile sapphire-rapids\n" +
        "  iommufd probe --fail-on erratum || echo do not nest here",
    )
    .action(probe);
}

async function probe(
  bdfs: string[],
  flags: BackendFlags & { json?: boolean; failOn?: "erratum" },
): Promise<void> {
  const report = await withIommufd(
    flags,
    (iommufd): ProbeReport => ({
      backend: iommufd.backend,
      backendReason: iommufd.backendReason,
      devices: (bdfs.length > 0 ? bdfs : iommufd.devices()).map((bdf) => probeDevice(iommufd, bdf)),
    }),
  );
  if (flags.json) printJson(probeDocument(report));
  else printText(formatProbe(report));
  if (report.devices.some(({ error }) => error !== null)) process.exitCode = EXIT.failed;
  if (
    flags.failOn === "erratum" &&
    report.devices.some(({ quirks }) => quirks.includes("NESTING_PARENT_BYPASS_RO"))
  )
    process.exitCode = EXIT.no;
}
