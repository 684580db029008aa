/**
 * The QEMUs that are installed, and whether they have commit 68d3a2a24d. No QEMU is run: the program itself has its version
 * as text, and the names of its functions where it takes modules, as Debian's does. So a distribution's backport is seen too.
 */

import { statSync } from "node:fs";
import { join } from "node:path";
import { lookThrough } from "../files.ts";
import { ifReadable } from "./readable.ts";

/** Where distributions have it: Debian's names, and Red Hat's. */
const PLACES = [
  ...["usr/bin", "usr/local/bin"].flatMap((directory) => [
    `${directory}/qemu-system-x86_64`,
    `${directory}/qemu-kvm`,
  ]),
  "usr/libexec/qemu-kvm",
];

/** A function that the commit added, one that asks for a nest parent, and one that all QEMUs have. */
const BYPASSES = "\0vfio_device_get_host_iommu_quirk_bypass_ro\0";
const NESTS = "\0vfio_device_get_viommu_flags_want_nesting\0";
const BESIDE = "\0memory_listener_register\0";

/** How that begins which it prints for --version. */
const VERSION = "QEMU emulator version ";

/** The most that a text in the program has that is looked for, in bytes. */
const LONGEST_TEXT = 256;

/** The first release with both: 10.2 is of December 2025, the commit of January 2026. */
const FIRST_MAJOR = 11;

/**
 * The behaviour of a QEMU if the IOMMU reports the erratum: it leaves read-only memory out of a nest parent, or maps
 * it, which the kernel refuses, or makes no nest parent at all.
 */
type QemuNesting = "leaves-out" | "maps" | "never-nests";

/** A QEMU that is installed. */
export interface InstalledQemu {
  /** Its path, from the root of the tree. */
  readonly path: string;
  /** "10.0.2 (Debian 1:10.0.2+ds-2)"; undefined where the program does not say. */
  readonly version: string | undefined;
  /** Undefined: it cannot be told. */
  readonly nesting: QemuNesting | undefined;
}

/** The findings about a program, so that a file of 30 MB is not read for each scrape of `iommufd serve`. */
const seen = new Map<string, { stamp: string; qemu: InstalledQemu }>();

/** The QEMUs of a tree, for the architectures that VT-d is of. */
export function installedQemus(root: string): InstalledQemu[] {
  return PLACES.flatMap((place) => {
    const path = join(root, place);
    const stamp = ifReadable(() => {
      const { mtimeMs, size, ino } = statSync(path);
      return `${mtimeMs} ${size} ${ino}`;
    });
    if (stamp === undefined) return [];
    const known = seen.get(path);
    if (known?.stamp === stamp) return [known.qemu];
    const inspected = ifReadable(() => inspect(path));
    if (inspected === undefined) return [];
    const qemu = { path: `/${place}`, ...inspected };
    seen.set(path, { stamp, qemu });
    return [qemu];
  });
}

/** Looks for these functions in a program of tens of megabytes. */
function inspect(path: string): Omit<InstalledQemu, "path"> {
  let version: string | undefined;
  let isWhole = false;
  const found = new Set<string>();
  lookThrough(path, LONGEST_TEXT, (piece) => {
    if (!isWhole) {
      const start = piece.indexOf(VERSION);
      if (start >= 0) version = versionAt(piece, start);
      // If this piece cuts a name, the next piece has all of it.
      isWhole = start >= 0 && start + LONGEST_TEXT <= piece.length;
    }
    for (const name of [BYPASSES, NESTS, BESIDE])
      if (!found.has(name) && piece.includes(name)) found.add(name);
    return isWhole && found.has(BYPASSES);
  });
  return { version, nesting: nestingOf(found, version) };
}

function nestingOf(found: ReadonlySet<string>, version: string | undefined): QemuNesting | undefined {
  if (found.has(BYPASSES)) return "leaves-out";
  if (found.has(NESTS)) return "maps";
  if (found.has(BESIDE)) return "never-nests";
  // Without the names of functions its version is left: those before the first release may have it from who packaged them.
  return version !== undefined && Number.parseInt(version, 10) >= FIRST_MAJOR ? "leaves-out" : undefined;
}

/** Its output for --version. */
function versionAt(piece: Buffer, start: number): string | undefined {
  const text = piece.toString("latin1", start + VERSION.length, start + LONGEST_TEXT);
  return /^\d[^\n\0]*/.exec(text)?.[0];
}
