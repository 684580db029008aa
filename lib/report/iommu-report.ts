/** What an IOMMU is, in the few lines that matter for nesting. */

import type { HostIommuQuirk } from "../container/quirks.ts";
import type { DecodedHwInfo } from "../hw-info/hw-info.ts";
import type { VtdDerived } from "../hw-info/vtd.ts";
import { formatAddress, formatLength, labelled } from "./text.ts";

/** The IOMMU, what its registers say, and the verdict on the erratum. */
export function formatIommu(bdf: string, info: DecodedHwInfo, quirks: readonly HostIommuQuirk[]): string {
  const lines = [`${info.type} (IOMMU_GET_HW_INFO type ${info.typeId}), as ${bdf} sees it`];
  if (info.vtd !== undefined) {
    lines.push(
      `CAP  ${formatAddress(info.vtd.capReg)}`,
      `ECAP ${formatAddress(info.vtd.ecapReg)}`,
      ...formatDerived(info.vtd.derived),
    );
  }
  lines.push(
    `for this device: ${info.outCapabilities.join(", ") || "no further capabilities"}; ` +
      (info.maxPasidLog2 === 0 ? "no PASID" : `PASID of ${info.maxPasidLog2} bits`),
  );
  return `${labelled("IOMMU", lines)}\n${labelled("Erratum", formatVerdict(info, quirks))}`;
}

/** What two VT-d registers come to. */
export function formatDerived(derived: VtdDerived): string[] {
  const yes = (value: boolean) => (value ? "yes" : "no");
  const widths = (values: readonly number[]) => values.map((width) => `${width}-bit`).join(", ") || "none";
  const sizes = (values: readonly number[]) =>
    values.map((size) => formatLength(BigInt(size))).join(", ") || "none";
  return [
    `scalable mode ${yes(derived.scalableMode)}, nested translation ${yes(derived.nestedTranslation)}, ` +
      `dirty tracking ${yes(derived.dirtyTracking)}, PASID ${derived.pasidBits === 0 ? "no" : `${derived.pasidBits} bits`}`,
    `guest addresses of up to ${derived.maxGuestAddressWidth} bits, ${derived.domains} domains`,
    `second stage: ${widths(derived.secondStageAddressWidths)}; pages ${sizes(derived.secondStagePageSizes)}`,
    `first stage:  ${widths(derived.firstStageAddressWidths)}; pages ${sizes(derived.firstStagePageSizes)}`,
  ];
}

function formatVerdict(info: DecodedHwInfo, quirks: readonly HostIommuQuirk[]): string[] {
  if (quirks.includes("NESTING_PARENT_BYPASS_RO")) {
    return [
      "ERRATA_772415_SPR17 is reported: with nested translation this IOMMU may set Accessed and Dirty bits in",
      "pages that the second stage maps read-only, so a nest parent must have no read-only mapping",
    ];
  }
  if (info.typeId !== 1) return [`ERRATA_772415_SPR17 is of Intel VT-d; type ${info.type} has no such flag`];
  if (info.vtd === undefined) return ["unknown: the kernel gave too little data to hold the flag"];
  return ["ERRATA_772415_SPR17 is not reported: read-only mappings on a nest parent are safe"];
}
