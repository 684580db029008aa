/** The findings about devices, for people and as JSON. */

import type { ProbedDevice } from "../container/probe.ts";
import { hex } from "../json.ts";
import type { Origin } from "../origin.ts";
import { type Look, PLAIN } from "./look.ts";
import { formatOrigin, formatRange, formatTable, paintFirst, printable, wrap } from "./text.ts";

/** The findings, and how they were made. */
export interface ProbeReport {
  readonly origin: Origin;
  readonly devices: readonly ProbedDevice[];
}

/** The document `iommufd.probe/1`. */
export function probeDocument({ origin, devices }: ProbeReport): object {
  return {
    schema: "iommufd.probe/1",
    ...origin,
    devices: devices.map(({ bdf, cdev, info, quirks, nestParent, iovaRanges, error }) => ({
      bdf,
      cdev,
      type: info?.type ?? null,
      typeId: info?.typeId ?? null,
      flags: info?.flags ?? null,
      capReg: info?.vtd === undefined ? null : hex(info.vtd.capReg),
      ecapReg: info?.vtd === undefined ? null : hex(info.vtd.ecapReg),
      outCapabilities: info?.outCapabilities ?? null,
      maxPasidLog2: info?.maxPasidLog2 ?? null,
      erratum772415: info?.erratum772415 ?? null,
      quirks: info === null ? null : quirks,
      nestParent,
      iovaRanges: iovaRanges?.map(({ start, last }) => ({ start: hex(start), last: hex(last) })) ?? null,
      error,
    })),
  };
}

/** The devices for people, one a row. */
export function formatProbe({ origin, devices }: ProbeReport, look: Look = PLAIN): string {
  return `${formatOrigin(origin, look.width)}\n\n${formatDevices(devices, look)}`;
}

function formatDevices(devices: readonly ProbedDevice[], { width, paint }: Look): string {
  if (devices.length === 0) {
    return wrap(
      "no devices are bound to vfio-pci; bind one, or name one to learn how: iommufd probe 0000:00:02.0",
      width,
    ).join("\n");
  }
  const unknown = paint("gray", "?");
  const table = formatTable(
    ["device", "IOMMU", "erratum 772415", "nest parent", "PASID", "IOVA ranges"],
    devices.map(({ bdf, info, nestParent, iovaRanges }) => [
      bdf,
      info?.type ?? unknown,
      info?.erratum772415 === undefined
        ? unknown
        : info.erratum772415
          ? paint("yellow", "reported")
          : paint("green", "not reported"),
      nestParent === null ? unknown : nestParent ? paint("green", "accepted") : paint("red", "refused"),
      info === null ? unknown : info.maxPasidLog2 === 0 ? "no" : `${info.maxPasidLog2} bits`,
      iovaRanges?.map(({ start, last }) => formatRange(start, last)).join(", ") ?? "?",
    ]),
    width,
  );
  // Commands are in them, to be pasted, so these are not wrapped: a terminal does that.
  const errors = devices.flatMap(({ bdf, error }) =>
    error === null ? [] : [paintFirst(describeProbeError(bdf, error), bdf, (word) => paint("red", word))],
  );
  return errors.length === 0 ? table : [table, "", ...errors].join("\n");
}

/** Why a device could not be probed, in a line. Some errors begin with the device that they are of. */
export function describeProbeError(bdf: string, { message }: NonNullable<ProbedDevice["error"]>): string {
  const line = printable(message);
  return line.startsWith(`${bdf}: `) ? line : `${bdf}: ${line}`;
}

/** Whether a device may be nested: what the kernel answers to one who wants a nest parent; undefined where it was not asked. */
export function supportsNesting({ nestParent }: ProbedDevice): boolean | undefined {
  return nestParent ?? undefined;
}
