/**
 * A line of QEMU's memory map that is a section of a flat view, or a region of a tree (system/memory.c).
 *
 * There can be a million of them. So the groups of the patterns have no names: named ones come in an object of their own.
 */

import type { IommufdError } from "../errors.ts";
import type { MemorySection, SectionType } from "../section.ts";
import type { Names } from "./names.ts";

interface Kind {
  readonly type: SectionType;
  readonly readonly: boolean;
}

/** The meaning of QEMU's kinds; `nv-` before one says that it is non-volatile. */
const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ["ram", { type: "ram", readonly: false }],
  // A read-only view, whatever backs it: region-types.ts.
  ["rom", { type: "ram", readonly: true }],
  ["ramd", { type: "ram-device", readonly: false }],
  ["romd", { type: "other", readonly: false }],
  ["i/o", { type: "other", readonly: false }],
  ["container", { type: "other", readonly: false }],
]);

/** The region whose misalignment QEMU knows to be harmless (hw/vfio/listener.c, vfio_known_safe_misalignment). */
const TPM_CRB_REGION = "tpm-crb-cmd";

const OWNER = String.raw`((?: (?:owner|parent):\{[^}]*\}| orphan)*)`;
const RANGE = String.raw`([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:nv-)?([^)]*)\)`;
/** Both addresses, the kind, the region, the offset in it, and the owner. */
const SECTION = new RegExp(`^ {2}${RANGE}: (.*?)(?: @([0-9a-f]{16}))?${OWNER}(?: KVM)*$`);
/** Both addresses, the kind, the region and the owner of a region of a tree; the target of an alias has a line of its own. */
const REGION = new RegExp(`^ {2,}${RANGE}: (?!alias )(.*?)(?: \\[disabled\\])?${OWNER}$`);
/** The longest line that can be a section, in characters. The pattern has quadratic backtracking behind a name. */
const LONGEST_SECTION = 4096;

/** A section of a flat view, and what the line says of it beside. */
export interface SectionLine {
  readonly section: MemorySection;
  /** The last address of the section. */
  readonly last: bigint;
  /** QEMU's text about the owner of the region, or nothing. */
  readonly owner: string;
  /** Whether the view is read-only, so that it does not show what the region is. */
  readonly isRom: boolean;
}

/**
 * Reads a section of a flat view.
 *
 * @param names keeps the names of regions; absent: the section is not kept
 * @param error makes of a message an error with the place
 * @throws IommufdError it cannot be read
 */
export function parseSection(
  line: string,
  names: Names | undefined,
  error: (message: string) => IommufdError,
): SectionLine {
  const fields = line.length > LONGEST_SECTION ? null : SECTION.exec(line);
  if (fields === null) throw error(`this section cannot be read: ${quote(line)}`);
  const [, startDigits, lastDigits, kindName = "", region = "", offset, owner = ""] = fields;
  const kind = KINDS.get(kindName);
  if (kind === undefined)
    throw error(
      `unknown kind of memory ${JSON.stringify(kindName)}; known are ${[...KINDS.keys()].join(", ")}`,
    );
  const start = BigInt(`0x${startDigits}`);
  const last = BigInt(`0x${lastDigits}`);
  if (last < start) throw error("the section ends before it starts");
  const section: MemorySection = {
    start,
    size: last - start + 1n,
    region: names === undefined ? region : names.once(region),
    offsetInRegion: offset === undefined ? 0n : BigInt(`0x${offset}`),
    type: kind.type,
    readonly: kind.readonly,
  };
  const isTpm = region === TPM_CRB_REGION;
  return {
    section: isTpm ? { ...section, misalignmentIsKnown: true } : section,
    last,
    owner,
    isRom: kindName === "rom",
  };
}

/** A region as a line of a tree of regions shows it; undefined where the line does not say what it is. */
export function parseRegion(
  line: string,
): { readonly region: string; readonly owner: string; readonly type: SectionType } | undefined {
  const fields = line.length > LONGEST_SECTION ? null : REGION.exec(line);
  if (fields === null) return undefined;
  const [, , , kind = "", region = "", owner = ""] = fields;
  const type = KINDS.get(kind)?.type;
  return type === undefined ? undefined : { region, owner, type };
}

/** A line for an error. */
export function quote(line: string): string {
  return JSON.stringify(line.trim().slice(0, 200));
}
