/** The VT-d units of a machine, as sysfs shows them (drivers/iommu/intel/iommu.c, the group intel-iommu). */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ifReadable, readFact } from "./readable.ts";

/** A VT-d unit as sysfs shows it. */
export interface VtdUnit {
  /** "dmar0" */
  readonly name: string;
  readonly capReg: bigint;
  readonly ecapReg: bigint;
  /** Physical address of its registers; undefined where sysfs does not show it. */
  readonly registerBase?: bigint | undefined;
  /** Architecture version, "6:0"; undefined where sysfs does not show it. */
  readonly version?: string | undefined;
}

/**
 * The names of a machine's IOMMUs, of whatever kind.
 *
 * @param root "/", or the directory of a recorded tree
 */
export function listIommus(root: string): string[] {
  return ifReadable(() => readdirSync(join(root, "sys/class/iommu")).sort()) ?? [];
}

/** An IOMMU, if it is a VT-d unit that shows its registers. */
export function readVtdUnit(root: string, name: string): VtdUnit[] {
  const read = (file: string) => readFact(join(root, "sys/class/iommu", name, "intel-iommu", file))?.trim();
  const register = (file: string) => {
    const value = read(file) ?? "";
    return /^[0-9a-f]{1,16}$/i.test(value) ? BigInt(`0x${value}`) : undefined;
  };
  const [capReg, ecapReg] = [register("cap"), register("ecap")];
  if (capReg === undefined || ecapReg === undefined) return [];
  const [version] = /^\d{1,3}:\d{1,3}$/.exec(read("version") ?? "") ?? [];
  return [{ name, capReg, ecapReg, registerBase: register("address"), version }];
}
