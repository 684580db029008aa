/** Probing for those that never see the remark that it was a model that answered: metrics and node labels. */

import { chooseBackend } from "../backend/select.ts";
import { probeDevice } from "../container/probe.ts";
import { IommufdError } from "../errors.ts";
import type { Iommufd } from "../iommufd/iommufd.ts";
import { originOf } from "../origin.ts";
import { describeProbeError, type ProbeReport } from "../report/probe-report.ts";
import { withIommufd } from "./asked-iommufd.ts";
import type { BackendFlags } from "./options.ts";
import { printError, printNote } from "./output.ts";

/** Probes devices; none named: all that vfio-pci has. */
export function probeDevices(iommufd: Iommufd, bdfs: readonly string[]): ProbeReport {
  const which = bdfs.length > 0 ? bdfs : iommufd.devices();
  return { origin: originOf(iommufd), devices: which.map((bdf) => probeDevice(iommufd, bdf)) };
}

/**
 * Probes devices on the kernel, and on a model only if an option names one. The environment alone does not: facts about a
 * host must not come from a model, so a host without an iommufd is reported as such.
 *
 * Labels and metrics have no room for the reason why a device could not be probed. The reason is printed.
 *
 * @returns undefined where there is no kernel to ask
 */
export async function probeHost(
  flags: BackendFlags,
  bdfs: readonly string[],
): Promise<ProbeReport | undefined> {
  const { choice } = chooseBackend(flags);
  const asksModel = flags.profile !== undefined || flags.backend === "software";
  const asked = { ...flags, ...(!asksModel && choice !== "kernel" && { backend: "kernel" as const }) };
  try {
    const report = await withIommufd({ ...asked, json: true }, (iommufd) => probeDevices(iommufd, bdfs));
    for (const { bdf, error } of report.devices)
      if (error !== null) printError(new Error(describeProbeError(bdf, error)), false);
    return report;
  } catch (error) {
    const absent = error instanceof IommufdError && error.code === "ERR_IOMMUFD_NO_KERNEL_BACKEND";
    if (!absent || flags.backend === "kernel") throw error;
    if (!flags.quiet) printNote(error.message);
    return undefined;
  }
}
