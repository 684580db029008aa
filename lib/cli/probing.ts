/** Probing for those that never see the remark that it was a model that answered: metrics and node labels. */

import { probeDevice } from "../container/probe.ts";
import { IommufdError } from "../errors.ts";
import type { Iommufd } from "../iommufd/iommufd.ts";
import type { ProbeReport } from "../report/probe-report.ts";
import { type BackendFlags, withIommufd } from "./options.ts";
import { printNote } from "./output.ts";

/** Probes devices; none named: all that vfio-pci has. */
export function probeDevices(iommufd: Iommufd, bdfs: readonly string[]): ProbeReport {
  const { backend, backendReason } = iommufd;
  const which = bdfs.length > 0 ? bdfs : iommufd.devices();
  return { backend, backendReason, devices: which.map((bdf) => probeDevice(iommufd, bdf)) };
}

/**
 * Probes devices on the kernel, and on a model only where one was asked for.
 *
 * @returns undefined where there is no kernel to ask
 */
export async function probeHost(
  flags: BackendFlags,
  bdfs: readonly string[],
): Promise<ProbeReport | undefined> {
  const { backend = "auto", profile } = flags;
  const choice = backend === "auto" && profile === undefined ? "kernel" : backend;
  try {
    return await withIommufd({ ...flags, backend: choice }, (iommufd) => probeDevices(iommufd, bdfs));
  } catch (error) {
    const absent = error instanceof IommufdError && error.code === "ERR_IOMMUFD_NO_KERNEL_BACKEND";
    if (!absent || backend === "kernel") throw error;
    printNote(error.message);
    return undefined;
  }
}
