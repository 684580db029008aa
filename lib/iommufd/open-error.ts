/**
 * The meaning of errors of opening and binding a device (drivers/vfio/device_cdev.c, drivers/vfio/group.c,
 * drivers/iommu/iommufd/device.c and iommu_device_claim_dma_owner() of drivers/iommu/iommu.c, Linux 6.12 and 7.2).
 */

import type { DeviceUse, DeviceUser } from "../backend/backend.ts";
import { VFIO_IOCTLS } from "../backend/ioctl.ts";
import { explained, isSystemError } from "../errors.ts";

const NOT_ISOLATED =
  "its interrupts are not isolated from those of the host (no interrupt remapping), and iommufd takes no such device";
const ASK_DOCTOR = "`iommufd doctor` says what to do";

/**
 * The error, with what it means if that is known.
 *
 * @param use asked only of an error of binding; undefined if it is unknown
 */
export function explainOpenError(error: unknown, use: () => DeviceUse | undefined): unknown {
  if (!isSystemError(error)) return error;
  if (error.syscall === "open") return explained(error, OPEN[error.code]);
  if (error.syscall !== VFIO_IOCTLS.bindIommufd.name) return error;
  return explained(error, BIND[error.code]?.(use()));
}

const OPEN: Readonly<Record<string, string>> = {
  EACCES: "run as root, or give your user access to it (udev)",
  EPERM: "this container may not open it: give it the device (Docker: --device; Kubernetes: a device plugin)",
  ENODEV: "its driver is letting go of it",
};

const BIND: Readonly<Record<string, (use: DeviceUse | undefined) => string>> = {
  EPERM: (use) => {
    const busy = use?.mates?.filter(({ driver, users }) => driver !== undefined || users.length > 0) ?? [];
    if (busy.length > 0) {
      const list = busy.map((mate) => `${mate.bdf} (${describeUsers(mate.users) ?? mate.driver})`).join(", ");
      return `another device of its IOMMU group belongs to somebody else: ${list}; or ${NOT_ISOLATED}: ${ASK_DOCTOR}`;
    }
    // A device that is alone in its group has no others. This process may not see all users of others.
    return use?.mates?.length === 0
      ? `${NOT_ISOLATED}: ${ASK_DOCTOR}`
      : `${NOT_ISOLATED}, or another device of its IOMMU group belongs to somebody else: ${ASK_DOCTOR}`;
  },
  EINVAL: (use) => {
    const who = describeUsers(use?.users ?? []);
    if (who !== undefined) return `another program has it: ${who}`;
    return `another program has it, one that this process may not see; or the firmware reserves memory for its IOMMU group, or its DMA bypasses the caches, and iommufd takes no such device: ${ASK_DOCTOR}`;
  },
  EBUSY: (use) => {
    const file = use?.groupFile;
    const who = describeUsers(file?.users ?? []) ?? "another program";
    return file === undefined
      ? "its IOMMU group is in use by another program, or attached elsewhere"
      : `its IOMMU group is in use: ${who} has ${file.path} open, or the group is attached elsewhere`;
  },
  EACCES: () =>
    "it is a virtual function, and its physical function was opened with a token (VFIO_DEVICE_FEATURE_PCI_VF_TOKEN)",
  ENODEV: () => "it has no IOMMU, or its driver is letting go of it",
};

function describeUsers(users: readonly DeviceUser[]): string | undefined {
  if (users.length === 0) return undefined;
  return users
    .map(({ pid, name }) => (pid === process.pid ? "this process" : `${name} (process ${pid})`))
    .join(", ");
}
