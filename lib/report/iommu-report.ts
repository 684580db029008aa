/** Describes an IOMMU, in the few lines that matter for nesting. */

import type { DecodedHwInfo } from "../hw-info/hw-info.ts";
import type { VtdDerived } from "../hw-info/vtd.ts";
import { formatLength } from "../lengths.ts";
import { IOMMU_HW_INFO_TYPE_INTEL_VTD } from "../uapi.ts";
import { type Fact, formatAddress } from "./text.ts";

/**
 * The IOMMU, what its registers say, and the verdicts on nesting and on the erratum.
 *
 * @param devices by their PCI addresses: the devices with the same facts
 * @param nestParent whether the kernel makes a nest parent for them; undefined: it did not say
 */
export function describeIommu(
  devices: readonly string[],
  info: DecodedHwInfo,
  nestParent: boolean | undefined,
): Fact[] {
  const see = devices.length === 1 ? "sees" : "see";
  const lines = [`${info.type} (IOMMU_GET_HW_INFO type ${info.typeId}), as ${devices.join(", ")} ${see} it`];
  if (info.vtd !== undefined) {
    lines.push(
      `CAP  ${formatAddress(info.vtd.capReg)}`,
      `ECAP ${formatAddress(info.vtd.ecapReg)}`,
      ...formatDerived(info.vtd.derived),
    );
  }
  if (info.amd !== undefined) lines.push(...formatAmd(info.amd));
  if (info.smmuv3 !== undefined) lines.push(...formatSmmuv3(info.smmuv3));
  if (info.tegra241Cmdqv !== undefined) {
    const { version, vcmdqs, vsids } = info.tegra241Cmdqv;
    lines.push(`CMDQ-V version ${version}, ${vcmdqs} virtual command queues, ${vsids} stream ids`);
  }
  lines.push(
    `${devices.length === 1 ? "for this device" : "for these devices"}: ${info.outCapabilities.join(", ") || "no further capabilities"}; ` +
      (info.maxPasidLog2 === 0 ? "no PASID" : `PASID of ${info.maxPasidLog2} bits`) +
      `; nest parent ${nestParent === undefined ? "unknown" : nestParent ? "accepted" : "refused (EOPNOTSUPP)"}`,
  );
  return [
    ["IOMMU", lines],
    ["Erratum", describeVerdict(info)],
  ];
}

function formatAmd({ efr, efr2, derived }: NonNullable<DecodedHwInfo["amd"]>): string[] {
  return [
    `EFR  ${formatAddress(efr)}`,
    `EFR2 ${formatAddress(efr2)}`,
    `guest translation ${yes(derived.guestTranslation)}, nested translation ${yes(derived.nestedTranslation)}, ` +
      `dirty tracking ${yes(derived.dirtyTracking)}, ` +
      `PASID ${derived.pasidBits === 0 ? "no" : `${derived.pasidBits} bits`}`,
    `page tables of up to ${derived.hostLevels} levels for the host, ${derived.guestLevels} for a guest`,
  ];
}

function formatSmmuv3({ registers, derived }: NonNullable<DecodedHwInfo["smmuv3"]>): string[] {
  const list = Object.entries(registers).map(([name, value]) => `${name} ${formatAddress(BigInt(value))}`);
  return [
    list.slice(0, 4).join(", "),
    list.slice(4).join(", "),
    `SMMUv${derived.version}, nested translation ${yes(derived.nestedTranslation)}, ` +
      `stream ids of ${derived.streamIdBits} bits, ` +
      `PASID ${derived.substreamIdBits === 0 ? "no" : `${derived.substreamIdBits} bits`}`,
    `virtual addresses of ${derived.virtualAddressBits} bits; granules ` +
      (derived.granules.map((size) => formatLength(BigInt(size))).join(", ") || "none"),
  ];
}

function yes(value: boolean): string {
  return value ? "yes" : "no";
}

/** The meaning of two VT-d registers. */
export function formatDerived(derived: VtdDerived): string[] {
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

function describeVerdict({ erratum772415, type, typeId }: DecodedHwInfo): string[] {
  if (erratum772415) {
    return [
      "ERRATA_772415_SPR17 is reported, as Linux does of every VT-d unit: with nested translation the IOMMU may set " +
        "Accessed and Dirty bits in pages that are mapped read-only, so a nest parent must have no read-only mapping",
    ];
  }
  if (erratum772415 === undefined) return ["unknown: the kernel gave too little data to hold the flag"];
  if (typeId !== IOMMU_HW_INFO_TYPE_INTEL_VTD)
    return [`ERRATA_772415_SPR17 is of Intel VT-d; type ${type} has no such flag`];
  return ["ERRATA_772415_SPR17 is not reported: read-only mappings on a nest parent are safe"];
}
