/** What was found out about devices, for people and as JSON. */

import type { BackendName } from "../backend/backend.ts";
import type { ProbedDevice } from "../container/probe.ts";
import type { DecodedHwInfo } from "../hw-info/hw-info.ts";
import { hex } from "../json.ts";
import { formatRange, formatTable, printable } from "./text.ts";

/** What was found out, and how. */
export interface ProbeReport {
  readonly backend: BackendName;
  readonly backendReason: string;
  readonly devices: readonly ProbedDevice[];
}

/** The document `iommufd.probe/1`. */
export function probeDocument({ backend, backendReason, devices }: ProbeReport): object {
  return {
    schema: "iommufd.probe/1",
    backend,
    backendReason,
    devices: devices.map(({ bdf, cdev, info, quirks, iovaRanges, error }) => ({
      bdf,
      cdev,
      type: info?.type ?? null,
      typeId: info?.typeId ?? null,
      flags: info?.flags ?? null,
      capReg: info?.vtd === undefined ? null : hex(info.vtd.capReg),
      ecapReg: info?.vtd === undefined ? null : hex(info.vtd.ecapReg),
      outCapabilities: info?.outCapabilities ?? null,
      maxPasidLog2: info?.maxPasidLog2 ?? null,
      erratum772415: info === null ? null : isAffected(info),
      quirks: info === null ? null : quirks,
      iovaRanges: iovaRanges?.map(({ start, last }) => ({ start: hex(start), last: hex(last) })) ?? null,
      error,
    })),
  };
}

/** The devices for people, one a row. */
export function formatProbe({ devices }: ProbeReport): string {
  if (devices.length === 0) {
    return "no devices are bound to vfio-pci; bind one, or name one to learn how: iommufd probe 0000:00:02.0";
  }
  return formatTable(
    ["device", "IOMMU", "erratum 772415", "PASID", "IOVA ranges"],
    devices.map(({ bdf, info, iovaRanges, error }) => [
      bdf,
      info?.type ?? "?",
      info === null ? "?" : isAffected(info) ? "reported" : "not reported",
      info === null ? "?" : info.maxPasidLog2 === 0 ? "no" : `${info.maxPasidLog2} bits`,
      error === null
        ? (iovaRanges ?? []).map(({ start, last }) => formatRange(start, last)).join(", ")
        : printable(error.message),
    ]),
  );
}

/** Whether the erratum is reported. */
export function isAffected({ flags }: DecodedHwInfo): boolean {
  return flags.includes("ERRATA_772415_SPR17");
}

/** Whether the IOMMU can nest; undefined where it does not tell. */
export function supportsNesting({ vtd, amd, smmuv3 }: DecodedHwInfo): boolean | undefined {
  return vtd?.derived.nestedTranslation ?? amd?.derived.guestTranslation ?? smmuv3?.derived.nestedTranslation;
}
