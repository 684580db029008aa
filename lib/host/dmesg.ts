/**
 * Finds VT-d units in a kernel log (drivers/iommu/intel/dmar.c, alloc_iommu):
 * `DMAR: dmar0: reg_base_addr c8fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ef9e86f050df`.
 */

import { IommufdError } from "../errors.ts";
import { UNIT_LIMIT } from "../limits.ts";

/** A VT-d unit as the kernel announced it. */
export interface DmarUnit {
  /** "dmar0" */
  readonly name: string;
  /** Physical address of its registers. */
  readonly registerBase: bigint;
  /** Architecture version, "6:0". */
  readonly version: string;
  /** The 64 bits of CAP_REG, as {@link decodeVtd} takes them. */
  readonly capReg: bigint;
  /** The 64 bits of ECAP_REG. */
  readonly ecapReg: bigint;
}

const UNIT =
  /DMAR: (?<name>dmar\d+): reg_base_addr (?<base>[0-9a-f]{1,16}) ver (?<version>\d+:\d+) cap (?<cap>[0-9a-f]{1,16}) ecap (?<ecap>[0-9a-f]{1,16})\b/g;

/** The VT-d units of a kernel log, in its order. */
export function findDmarUnits(log: string): DmarUnit[] {
  return [...dmarUnitsOf(log)];
}

/** The same, one at a time. */
export function* dmarUnitsOf(log: string): Generator<DmarUnit, void> {
  // Most lines of a log have none, and a look is faster than a search for all.
  if (!log.includes("reg_base_addr")) return;
  for (const { groups } of log.matchAll(UNIT)) {
    const { name, base, version, cap, ecap } = groups as Record<
      "name" | "base" | "version" | "cap" | "ecap",
      string
    >;
    yield {
      name,
      registerBase: BigInt(`0x${base}`),
      version,
      capReg: BigInt(`0x${cap}`),
      ecapReg: BigInt(`0x${ecap}`),
    };
  }
}

/**
 * The same, each once: a log in a file has several boots, and what was said last counts.
 *
 * @param source what to call the log in errors
 * @throws IommufdError ERR_IOMMUFD_INPUT: there are more than UNIT_LIMIT
 */
export function lastDmarUnits(log: string, source: string): DmarUnit[] {
  const units = new Map<string, DmarUnit>();
  for (const unit of dmarUnitsOf(log)) {
    units.set(unit.name, unit);
    limitUnits(units.size, source);
  }
  return [...units.values()];
}

/** @throws IommufdError ERR_IOMMUFD_INPUT: there are more than UNIT_LIMIT */
export function limitUnits(count: number, source: string): void {
  if (count > UNIT_LIMIT)
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${source}: there are more than ${UNIT_LIMIT} VT-d units in it, the most that is read`,
    );
}
