/** The iommufd that the options ask for, and its device. */

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

/** The device to ask where none is named. A model's devices are alike, so there the first will do. */
export function onlyDevice(iommufd: Iommufd): string {
  const [first, ...others] = iommufd.devices();
  if (first === undefined) {
    throw new IommufdError(
      "ERR_IOMMUFD_NO_DEVICE",
      "no device is bound to vfio-pci, so no IOMMU can be asked; bind one, or say --bypass-ro on or off, or --profile",
    );
  }
  if (others.length > 0 && iommufd.backend === "kernel") {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `several devices are bound to vfio-pci; say which one with --device: ${[first, ...others].join(", ")}`,
    );
  }
  return first;
}
