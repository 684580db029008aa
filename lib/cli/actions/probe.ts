/** The action of `iommufd probe`: reports what the IOMMU of each device is, and whether it has the erratum. */

import type { ProbedDevice } from "../../container/probe.ts";
import { IommufdError } from "../../errors.ts";
import { PLAIN } from "../../report/look.ts";
import { formatNodeFeatures } from "../../report/node-features.ts";
import { formatProbe, type ProbeReport, probeDocument } from "../../report/probe-report.ts";
import { withIommufd } from "../asked-iommufd.ts";
import { EXIT } from "../exit.ts";
import type { BackendFlags } from "../options.ts";
import { jsonText, LOOK } from "../output.ts";
import { probeDevices, probeHost } from "../probing.ts";

type Format = "table" | "json" | "prometheus" | "nfd";

interface ProbeFlags extends BackendFlags {
  json?: boolean;
  format: Format;
  output?: string;
  failOn?: "erratum";
}

/** Runs `iommufd probe`. */
export async function probe(bdfs: string[], flags: ProbeFlags): Promise<void> {
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
      format === "json"
        ? jsonText(probeDocument(report))
        : `${formatProbe(report, flags.output === undefined ? LOOK : PLAIN)}\n`,
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
  else await (await import("../output-file.ts")).writeOutput(output, text);
  if (devices.some(({ error }) => error !== null)) process.exitCode = EXIT.failed;
  if (failOn === "erratum" && devices.length === 0)
    throw new IommufdError(
      "ERR_IOMMUFD_NO_DEVICE",
      "no device was asked, so it is not known whether an IOMMU of this host has the erratum (--fail-on)",
    );
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
