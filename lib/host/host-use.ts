/**
 * The host's own uses of a PCI device: a file system is mounted from it, it has a part of a volume, the default route goes
 * through it. Such a device is not to be given away.
 */

import { readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { BDF_PATTERN } from "../bdf.ts";
import { ifReadable, readFact } from "./readable.ts";

/** The use of each device, by address: "/ is mounted from it". */
export function hostUse(root: string): ReadonlyMap<string, readonly string[]> {
  const uses = new Map<string, Set<string>>();
  const add = (paths: readonly string[], use: string, isNews = (_bdf: string) => true) => {
    for (const bdf of paths.flatMap(addressesIn).filter(isNews))
      uses.set(bdf, (uses.get(bdf) ?? new Set()).add(use));
  };
  for (const { disk, use } of disksInUse(root)) add(disksBelow(root, disk), use);
  // A mount says more than the volume that it is on.
  const known = new Set(uses.keys());
  for (const { disk, use } of volumes(root)) add(disksBelow(root, disk), use, (bdf) => !known.has(bdf));
  for (const name of defaultRoutes(root))
    add(cardsBelow(root, name), `the default route goes through it (${name})`);
  return new Map([...uses].map(([bdf, use]) => [bdf, [...use]]));
}

/** All that a path in /sys/devices leads through: the bridges too, and the controller of a controller (VMD). */
function addressesIn(path: string): string[] {
  return path.split("/").filter((part) => BDF_PATTERN.test(part));
}

/** A disk, and what the host has it for. */
interface DiskUse {
  readonly disk: string;
  readonly use: string;
}

/** The disks of mounted file systems (proc_pid_mountinfo(5)), swap areas and ZFS pools. */
function disksInUse(root: string): DiskUse[] {
  const found: DiskUse[] = [];
  for (const line of lines(root, "proc/self/mountinfo")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , number = "", , where = ""] = before.split(" ");
    const [type = "", source = ""] = after.split(" ");
    for (const disk of disksOf(root, number, type, source))
      found.push({ disk, use: `${unescapeOctal(where)} is mounted from it` });
  }
  for (const line of lines(root, "proc/swaps")) {
    const [, disk] = /^\/dev\/(\S+)\s+partition\s/.exec(line) ?? [];
    if (disk !== undefined) found.push({ disk, use: "the host swaps to it" });
  }
  return [...found, ...disksOfPools(root)];
}

/** Found by the file system's number. One without the number of a disk is found by the name of a disk. */
function disksOf(root: string, number: string, type: string, source: string): string[] {
  const numbered = nameOf(join(root, `sys/dev/block/${number}`));
  if (numbered !== undefined) return [numbered];
  if (!source.startsWith("/dev/")) return [];
  // bcachefs names all of its disks: "/dev/sda:/dev/sdb".
  const named = source.split(":/dev/").map((each) => blockName(root, each.replace(/^\/dev\//, "")));
  return type === "btrfs" ? disksOfBtrfs(root, named) : named;
}

/** btrfs names the first of its disks. sysfs has all of them (fs/btrfs/sysfs.c), while it is mounted. */
function disksOfBtrfs(root: string, named: readonly string[]): string[] {
  const systems = list(join(root, "sys/fs/btrfs")).map((id) =>
    list(join(root, "sys/fs/btrfs", id, "devices")),
  );
  return [...named, ...systems.filter((disks) => disks.some((disk) => named.includes(disk))).flat()];
}

/** Imported pools are in /proc/spl/kstat/zfs; udev knows which disks have a part of any. */
function disksOfPools(root: string): DiskUse[] {
  const kstat = join(root, "proc/spl/kstat/zfs");
  const pools = list(kstat).filter((name) => real(join(kstat, name, "state")) !== undefined);
  if (pools.length === 0) return [];
  const isPart = (disk: string) => {
    const number = readFact(join(root, "sys/class/block", disk, "dev"))?.trim() ?? "";
    const known = /^\d+:\d+$/.test(number) ? readFact(join(root, `run/udev/data/b${number}`)) : undefined;
    return known !== undefined && /^E:ID_FS_TYPE=zfs_member$/m.test(known);
  };
  const use = `it has a part of a ZFS pool, and ${pools.join(", ")} is imported`;
  return list(join(root, "sys/class/block"))
    .filter(isPart)
    .map((disk) => ({ disk, use }));
}

/** Volumes of LVM, encryption and RAID, mounted or not: a VM may have one as its disk. */
function volumes(root: string): DiskUse[] {
  const isVolume = (disk: string) => list(join(root, "sys/class/block", disk, "slaves")).length > 0;
  return list(join(root, "sys/class/block"))
    .filter(isVolume)
    .map((disk) => ({ disk, use: `${volumeName(root, disk) ?? disk} is on it` }));
}

/** The device mapper's own name of a volume: "ubuntu--vg-ubuntu--lv". */
function volumeName(root: string, disk: string): string | undefined {
  return readFact(join(root, "sys/class/block", disk, "dm/name"))?.trim();
}

/** The kernel's name of a disk, which /dev/mapper has under another: "mapper/luks-home" is "dm-0". */
function blockName(root: string, name: string): string {
  const [, mapped] = /^mapper\/(.+)$/.exec(name) ?? [];
  if (mapped === undefined) return name;
  return list(join(root, "sys/class/block")).find((disk) => volumeName(root, disk) === mapped) ?? name;
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
  const names = new Set<string>();
  for (const line of lines(root, "proc/net/route")) {
    const [name = "", destination, , , , , , mask] = line.split(/\s+/);
    if (destination === "00000000" && mask === "00000000") names.add(name);
  }
  for (const line of lines(root, "proc/net/ipv6_route")) {
    const [destination = "", length, , , , , , , , name = ""] = line.trim().split(/\s+/);
    if (/^0{32}$/.test(destination) && length === "00" && name !== "lo") names.add(name);
  }
  return [...names];
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
  return ifReadable(() => realpathSync.native(path));
}

/** The lines that say something, one at a time: a list of all takes many times the memory of the text. */
function* lines(root: string, path: string): Generator<string, void> {
  const text = readFact(join(root, path)) ?? "";
  for (const [line] of text.matchAll(/.+/g)) yield line;
}

function list(path: string): string[] {
  return ifReadable(() => readdirSync(path).sort()) ?? [];
}
