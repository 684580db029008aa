/**
 * Memory that the firmware reserves for devices of an IOMMU group (sysfs: reserved_regions; drivers/iommu/iommu.c). If
 * a region is "direct", its device has to reach it at all times. Linux gives no device of the group to a program,
 * because this would remove the mapping (__iommu_device_set_domain(): EINVAL, since Linux 6.6 for every IOMMU; seen on
 * 7.2).
 */

import { fail, type HostCheck, pass } from "./check.ts";
import type { IommuMake } from "./platform.ts";

/** A line of reserved_regions. */
export interface ReservedRegion {
  readonly start: bigint;
  /** Its last byte. */
  readonly last: bigint;
  /**
   * "direct": has to be mapped one to one. "direct-relaxable": as long as Linux itself uses the device, and no longer (USB
   * controllers and graphics on Intel's hosts, what the firmware says so of on Arm's). "msi", "reserved": IOVAs that no mapping may have.
   */
  readonly type: string;
}

/** Reads a reserved_regions file: "0x00000000fee00000 0x00000000feefffff msi". */
export function parseReservedRegions(text: string): ReservedRegion[] {
  const lines = text.matchAll(/^0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) ([\w-]+)$/gm);
  return [...lines].map(([, start, last, type = ""]) => ({
    start: BigInt(`0x${start}`),
    last: BigInt(`0x${last}`),
    type,
  }));
}

/** The firmware's name for such a region. */
const TABLES: Readonly<Record<IommuMake, string>> = {
  intel: "RMRR of the DMAR table",
  amd: "IVMD of the IVRS table",
  arm: "RMR of the IORT table, or reserved-memory of the device tree",
};

/** Whether the firmware's memory prevents that a device is given away. Without such memory there is nothing to say. */
export function checkReservedRegions(
  bdf: string,
  group: number,
  regions: readonly ReservedRegion[],
  make: IommuMake | undefined,
): HostCheck[] {
  const list = (type: string) =>
    regions
      .filter((region) => region.type === type)
      .map(({ start, last }) => `0x${start.toString(16)}-0x${last.toString(16)}`)
      .join(", ");
  const [direct, relaxable] = [list("direct"), list("direct-relaxable")];
  if (direct !== "") {
    const table = make === undefined ? "" : ` (${TABLES[make]})`;
    return [
      fail(
        bdf,
        `the firmware keeps memory mapped for IOMMU group ${group}: ${direct}${table}; binding its devices answers EINVAL`,
        "use a device of another group; or turn off what uses that memory in the firmware's setup (a management or RAID " +
          "controller's shared memory), or ask the machine's vendor for a firmware without it",
      ),
    ];
  }
  if (relaxable === "") return [];
  return [
    pass(
      bdf,
      `the firmware's memory for IOMMU group ${group} does not stand in the way: ${relaxable} (direct-relaxable)`,
    ),
  ];
}
