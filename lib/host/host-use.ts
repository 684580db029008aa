/**
 * The host's own uses of a PCI device: a file system is mounted from it, the default route goes through it. Such a
 * device is not to be given away.
 */

import { readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { BDF_PATTERN } from "../bdf.ts";
import { readFileWhole } from "../files.ts";
import { ifReadable } from "./readable.ts";

/** The use of each device, by address: "/ is mounted from it". */
export function hostUse(root: string): ReadonlyMap<string, readonly string[]> {
  const uses = new Map<string, string[]>();
  const add = (paths: readonly string[], use: string) => {
    for (const bdf of new Set(paths.flatMap(addressesIn))) {
      const list = uses.get(bdf) ?? [];
      if (!list.includes(use)) uses.set(bdf, [...list, use]);
    }
  };
  for (const { disk, use } of disksInUse(root)) add(disksBelow(root, disk), use);
  for (const name of defaultRoutes(root))
    add(cardsBelow(root, name), `the default route goes through it (${name})`);
  return uses;
}

/** All that a path in /sys/devices leads through: the bridges too, and the controller of a controller (VMD). */
function addressesIn(path: string): string[] {
  return path.split("/").filter((part) => BDF_PATTERN.test(part));
}

/** The mounted file systems (proc_pid_mountinfo(5)), and the swap areas. */
function disksInUse(root: string): { disk: string; use: string }[] {
  const mounts = lines(root, "proc/self/mountinfo").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , number = "", , where = ""] = before.split(" ");
    const [, source = ""] = after.split(" ");
    // Found by its number. File systems without the number of a disk, such as btrfs, are found by the name of the first
    // disk.
    const named = source.startsWith("/dev/") ? source.slice("/dev/".length) : undefined;
    const disk = nameOf(join(root, `sys/dev/block/${number}`)) ?? named;
    return disk === undefined ? [] : [{ disk, use: `${unescapeOctal(where)} is mounted from it` }];
  });
  const swaps = lines(root, "proc/swaps").flatMap((line) => {
    const [, disk] = /^\/dev\/(\S+)\s+partition\s/.exec(line) ?? [];
    return disk === undefined ? [] : [{ disk, use: "the host swaps to it" }];
  });
  return [...mounts, ...swaps];
}

/** The paths of the disks that one is made of: through partitions, dm and md, down to controllers. */
function disksBelow(root: string, disk: string, seen = new Set<string>()): string[] {
  if (disk.includes("..") || seen.has(disk)) return [];
  seen.add(disk);
  const path = real(join(root, "sys/class/block", disk));
  if (path === undefined) return [];
  const parts = list(join(path, "slaves"));
  if (parts.length > 0) return parts.flatMap((part) => disksBelow(root, part, seen));
  // With multipath an NVMe namespace is its subsystem's, which names the controllers.
  const [subsystem] = /\/nvme-subsys\d+(?=\/)/.exec(path) ?? [];
  if (subsystem === undefined) return [path];
  const directory = path.slice(0, path.indexOf(subsystem) + subsystem.length);
  return list(directory)
    .filter((name) => /^nvme\d+$/.test(name))
    .flatMap((name) => real(join(directory, name)) ?? []);
}

/** The interfaces of default routes, of IPv4 and IPv6 (proc_net(5); net/ipv6/route.c). */
function defaultRoutes(root: string): string[] {
  const v4 = lines(root, "proc/net/route").flatMap((line) => {
    const [name = "", destination, , , , , , mask] = line.split(/\s+/);
    return destination === "00000000" && mask === "00000000" ? [name] : [];
  });
  const v6 = lines(root, "proc/net/ipv6_route").flatMap((line) => {
    const [destination = "", length, , , , , , , , name = ""] = line.trim().split(/\s+/);
    return /^0{32}$/.test(destination) && length === "00" && name !== "lo" ? [name] : [];
  });
  return [...new Set([...v4, ...v6])];
}

/** The paths of the cards that an interface is made of: through bridges, bonds and VLANs. */
function cardsBelow(root: string, name: string, seen = new Set<string>()): string[] {
  if (name.includes("/") || name.includes("..") || seen.has(name)) return [];
  seen.add(name);
  const path = real(join(root, "sys/class/net", name));
  if (path === undefined) return [];
  const lower = list(path)
    .filter((entry) => entry.startsWith("lower_"))
    .map((entry) => entry.slice("lower_".length));
  return [path, ...lower.flatMap((each) => cardsBelow(root, each, seen))];
}

function nameOf(path: string): string | undefined {
  return real(path)?.split("/").at(-1);
}

/** A space in a mount point is "\040". */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function real(path: string): string | undefined {
  return ifReadable(() => realpathSync(path));
}

function lines(root: string, path: string): string[] {
  return (ifReadable(() => readFileWhole(join(root, path)).toString()) ?? "").split("\n");
}

function list(path: string): string[] {
  return ifReadable(() => readdirSync(path).sort()) ?? [];
}
