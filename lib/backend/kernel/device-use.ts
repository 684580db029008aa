/** The users of a VFIO device, and the devices that share its IOMMU group: the causes of errors of binding. */

import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { readFileWhole } from "../../files.ts";
import type { DeviceUse, DeviceUser } from "../backend.ts";
import { cdevName, driverOf, groupOf, leavesDmaAlone } from "./vfio-sysfs.ts";

/** Looks as far as this process may: /proc/PID/fd of others is for root. Nothing that is missing is an error. */
export function deviceUse(root: string, bdf: string): DeviceUse {
  const group = groupOf(root, bdf);
  const groupFile = `/dev/vfio/${group}`;
  const files = openFiles(root);
  const usersOf = (path: string | undefined) => (path === undefined ? [] : (files.get(path) ?? []));
  const members = group === undefined ? undefined : list(root, `sys/kernel/iommu_groups/${group}/devices`);
  return {
    users: usersOf(cdevOf(root, bdf)),
    groupFile: group === undefined ? undefined : { path: groupFile, users: usersOf(groupFile) },
    mates: members
      ?.filter((other) => other !== bdf)
      .map((other) => ({ bdf: other, driver: ownerOf(root, other), users: usersOf(cdevOf(root, other)) })),
  };
}

/** The driver that has a device for the kernel itself. */
function ownerOf(root: string, bdf: string): string | undefined {
  const driver = driverOf(root, bdf);
  const leaves = driver === undefined || leavesDmaAlone(driver) || cdevName(root, bdf) !== undefined;
  return leaves ? undefined : driver;
}

function cdevOf(root: string, bdf: string): string | undefined {
  const name = cdevName(root, bdf);
  return name === undefined ? undefined : `/dev/vfio/devices/${name}`;
}

/** The processes that have files of VFIO open, by path. */
function openFiles(root: string): Map<string, DeviceUser[]> {
  const files = new Map<string, DeviceUser[]>();
  for (const pid of list(root, "proc").filter((name) => /^\d+$/.test(name))) {
    const paths = list(root, `proc/${pid}/fd`).map((descriptor) =>
      attempt(() => readlinkSync(join(root, `proc/${pid}/fd/${descriptor}`))),
    );
    for (const path of new Set(paths)) {
      if (path?.startsWith("/dev/vfio/") !== true) continue;
      const name = attempt(() => readFileWhole(join(root, `proc/${pid}/comm`)).toString())?.trim() ?? "";
      files.set(path, [...(files.get(path) ?? []), { pid: Number(pid), name: harmless(name) }]);
    }
  }
  return files;
}

/** A process names itself, and what it says goes to terminals. */
function harmless(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, "?") || "?";
}

function list(root: string, path: string): string[] {
  return attempt(() => readdirSync(join(root, path))) ?? [];
}

/** Processes end, and most are not for this user to see. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
