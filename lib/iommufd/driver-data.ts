/**
 * Structures that only an IOMMU driver reads, made from what is known of them (include/uapi/linux/iommufd.h). All are
 * little-endian.
 */

import { checkU32, checkU64 } from "../arguments.ts";
import { invalidType, outOfRange } from "../errors.ts";
import {
  type DriverData,
  type HwptAmdGuest,
  type HwptArmSmmuv3,
  type HwptVtdS1,
  IOMMU_HWPT_DATA_AMD_GUEST,
  IOMMU_HWPT_DATA_ARM_SMMUV3,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
  IOMMU_VTD_INV_FLAGS_LEAF,
} from "../uapi.ts";

/** A guest's first stage: what a nested HWPT translates with. */
export type NestedHwptData =
  | ({ readonly type: "vtd-s1" } & HwptVtdS1)
  | ({ readonly type: "arm-smmuv3" } & HwptArmSmmuv3)
  | ({ readonly type: "amd-guest" } & HwptAmdGuest)
  | DriverData;

/** struct iommu_hwpt_vtd_s1_invalidate: pages of a guest's first-stage page table that have changed. */
export interface VtdInvalidation {
  /** The first address, a multiple of 4096. With `pages` 2^64-1 it must be 0: everything. */
  readonly address: bigint;
  /** How many pages of 4096 bytes. */
  readonly pages: bigint;
  /** Whether only leaf entries have changed, so that what leads to them may stay cached. Default false. */
  readonly leaf?: boolean | undefined;
}

/** Entries of a driver that is not known here, all of one length. */
export interface RawInvalidation {
  /** IOMMU_HWPT_INVALIDATE_DATA_* */
  readonly type: number;
  /** In bytes. */
  readonly entryLength: number;
  /** The entries, one after the other. */
  readonly bytes: Uint8Array;
}

/** Bytes for the driver, in the order that its structure has them. */
export function encodeNestedHwpt(data: NestedHwptData): DriverData {
  if (typeof data !== "object" || data === null) throw invalidType("data", "an object", data);
  switch (data.type) {
    case "vtd-s1": {
      const bytes = words([
        checkU64(data.flags, "data.flags"),
        checkU64(data.pgtblAddr, "data.pgtblAddr"),
        0n,
      ]);
      new DataView(bytes.buffer).setUint32(16, checkU32(data.addrWidth, "data.addrWidth"), true);
      return { type: IOMMU_HWPT_DATA_VTD_S1, bytes };
    }
    case "arm-smmuv3":
      return { type: IOMMU_HWPT_DATA_ARM_SMMUV3, bytes: words(doubleWords(data.ste, 2, "data.ste")) };
    case "amd-guest":
      return { type: IOMMU_HWPT_DATA_AMD_GUEST, bytes: words(doubleWords(data.dte, 4, "data.dte")) };
    default:
      return checkDriverData(data);
  }
}

/** The entries for IOMMU_HWPT_INVALIDATE of a nested HWPT. */
export function encodeVtdInvalidations(entries: readonly VtdInvalidation[]): RawInvalidation {
  const values = entries.flatMap(({ address, pages, leaf }, index) => [
    checkU64(address, `entries[${index}].address`),
    checkU64(pages, `entries[${index}].pages`),
    leaf ? BigInt(IOMMU_VTD_INV_FLAGS_LEAF) : 0n,
  ]);
  return { type: IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, entryLength: 24, bytes: words(values) };
}

/** The entries for IOMMU_HWPT_INVALIDATE of a vIOMMU: commands of the SMMU's command queue. */
export function encodeSmmuCommands(commands: readonly (readonly [bigint, bigint])[]): RawInvalidation {
  const values = commands.flatMap((command, index) => doubleWords(command, 2, `commands[${index}]`));
  return { type: IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, entryLength: 16, bytes: words(values) };
}

/** Data that was put together elsewhere. */
export function checkDriverData(data: DriverData): DriverData {
  checkU32(data.type, "data.type");
  if (!(data.bytes instanceof Uint8Array)) throw invalidType("data.bytes", "a Uint8Array", data.bytes);
  if (data.bytes.length > 4096) throw outOfRange("data.bytes", "at most 4096 bytes", data.bytes.length);
  return data;
}

function doubleWords(values: readonly bigint[], count: number, name: string): bigint[] {
  if (!Array.isArray(values)) throw invalidType(name, `an array of ${count} bigints`, values);
  if (values.length !== count) throw outOfRange(name, `an array of ${count} bigints`, values);
  return values.map((value, index) => checkU64(value, `${name}[${index}]`));
}

function words(values: readonly bigint[]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(values.length * 8));
  for (const [index, value] of values.entries()) view.setBigUint64(index * 8, value, true);
  return new Uint8Array(view.buffer);
}
