/**
 * Finds VT-d units in a kernel log (drivers/iommu/intel/dmar.c, alloc_iommu):
 * `DMAR: dmar0: reg_base_addr c8fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ef9e86f050df`.
 */

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
  // Most lines of a log have none, and a look is faster than a search for all.
  if (!log.includes("reg_base_addr")) return [];
  return [...log.matchAll(UNIT)].map(({ groups }) => {
    const { name, base, version, cap, ecap } = groups as Record<
      "name" | "base" | "version" | "cap" | "ecap",
      string
    >;
    return {
      name,
      registerBase: BigInt(`0x${base}`),
      version,
      capReg: BigInt(`0x${cap}`),
      ecapReg: BigInt(`0x${ecap}`),
    };
  });
}
