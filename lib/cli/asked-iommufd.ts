/** The iommufd that the options ask for, and its device. */

import { isDeepStrictEqual } from "node:util";
import { probeDevice } from "../container/probe.ts";
import { IommufdError } from "../errors.ts";
import { Iommufd } from "../iommufd/iommufd.ts";
import type { BackendFlags } from "./options.ts";
import { printNote } from "./output.ts";
import { traceIoctls } from "./trace.ts";

/** Opens an iommufd as the options say, and hands it to the work. */
export async function withIommufd<Result>(
  { backend, profile, trace = false, quiet = false, json = false }: BackendFlags,
  work: (iommufd: Iommufd) => Result | Promise<Result>,
): Promise<Result> {
  using _tracing = trace ? traceIoctls() : undefined;
  using iommufd = Iommufd.open({ backend, profile });
  // A text says so in its first line; the user who sends a document to another program sees it here.
  if (json && !quiet) printNote(`${iommufd.backend} backend (${iommufd.backendReason})`);
  return await work(iommufd);
}

/** The device to ask where none is named. The first of a model will do if all get the same answers. */
export function onlyDevice(iommufd: Iommufd): string {
  const devices = iommufd.devices();
  const [first, ...others] = devices;
  if (first === undefined) {
    throw new IommufdError(
      "ERR_IOMMUFD_NO_DEVICE",
      "no device is bound to vfio-pci, so no IOMMU can be asked; bind one, or say --bypass-ro on or off, or --profile",
    );
  }
  if (others.length === 0) return first;
  const isKernel = iommufd.backend === "kernel";
  if (!isKernel && areAlike(iommufd, devices)) return first;
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `several devices are ${isKernel ? "bound to vfio-pci" : `in profile ${iommufd.profile}, and they differ`}; ` +
      `say which one with --device: ${devices.join(", ")}`,
  );
}

/** Whether plans come out alike for all of these devices. */
function areAlike(iommufd: Iommufd, bdfs: readonly string[]): boolean {
  const [first, ...others] = bdfs.map((bdf) => {
    const { info, nestParent, iovaRanges, error } = probeDevice(iommufd, bdf);
    const { type, erratum772415, vtd, amd, smmuv3 } = info ?? {};
    return { type, erratum772415, vtd, amd, smmuv3, nestParent, iovaRanges, error };
  });
  return others.every((other) => isDeepStrictEqual(other, first));
}
