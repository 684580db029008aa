/** The outcome of trying a plan, for people and as JSON. */

import type { DeviceObstacle, Obstacle, ObstacleReason, Preflight } from "../container/preflight.ts";
import type { MemlockLimit } from "../host/memlock.ts";
import { hex } from "../json.ts";
import { formatLength } from "../lengths.ts";
import type { RunningVm } from "../memory-map/running-qemu.ts";
import type { Origin } from "../origin.ts";
import type { Advice } from "./advice.ts";
import { type Look, PLAIN } from "./look.ts";
import { memoryMapDocument, uncertaintyFacts } from "./memory-map-report.ts";
import { type Fact, formatFacts, formatRange, originFact, paintFirst, printable, wrap } from "./text.ts";
import { checkVerdict, isLimited } from "./verdict.ts";

/** A plan that was tried, and where. */
export interface CheckReport extends Preflight {
  readonly origin: Origin;
  readonly devices: readonly string[];
  readonly nesting: boolean;
  /** Whether an IOMMU reports the erratum; undefined if one did not say. */
  readonly affected: boolean | undefined;
  /** The IOMMUs of the devices, as `describeIommu` words them. */
  readonly iommu: readonly Fact[];
  /** The running VM that was asked; undefined where a text was read. */
  readonly vm?: RunningVm | undefined;
  /** How much memory a process like this one may lock; undefined where that is not known. */
  readonly memlock: MemlockLimit | undefined;
}

/** Why a mapping is refused, and what helps. */
const REASONS: Readonly<Record<ObstacleReason, readonly [why: string, help: string]>> = {
  "outside-aperture": [
    "the IOMMU cannot translate such addresses",
    "give the guest less memory, or fewer address bits (QEMU: -cpu …,host-phys-bits-limit=N)",
  ],
  reserved: [
    "part of it is reserved, for interrupts or by firmware",
    "move it: RAM must not lie there (QEMU keeps 0xfee00000 free by itself, and on Arm 0x8000000; a machine type that does not is the wrong one)",
  ],
  "read-only-on-nest-parent": [
    "this IOMMU reports ERRATA_772415_SPR17: a nest parent must have no read-only mapping",
    "leave read-only sections out: --bypass-ro auto or on; QEMU 11.0 and later do (commit 68d3a2a24d)",
  ],
  overlap: [
    "another section is mapped there",
    "look for it in the plan: two sections must not share addresses",
  ],
  memory: [
    "out of memory, or past the limit on locked memory",
    "raise the limit (RLIMIT_MEMLOCK; libvirt: <memtune><hard_limit>), or give the guest less memory",
  ],
  other: ["the kernel does not say why", "look at the kernel log (dmesg); --trace shows the call"],
};

/** Why an IOMMU makes no nest parent, by whose it is (the `type` of `decodeHwInfo`). */
const CANNOT_NEST: Readonly<Record<string, string>> = {
  "intel-vtd":
    "without scalable mode there is no nested translation: boot the host with intel_iommu=on,sm_on; `iommufd doctor` shows whether the unit has it",
  amd: "AMD's nests only with EFR GTSup and GIoSup and EFR2 GCR3TRPMode, and with Linux 7.0 or later; `iommufd doctor` shows what is missing",
  "arm-smmuv3": "an SMMUv3 nests only with both stages, and with Linux 6.13 or later",
};

/** The reason why a device was refused. */
function helpForDevice({ code, iommu, message }: DeviceObstacle): string {
  if (message !== undefined) return printable(message);
  if (code === "EOPNOTSUPP") {
    const why = CANNOT_NEST[iommu ?? ""] ?? "its driver in this kernel makes no nest parent";
    return `its IOMMU cannot nest here: ${why}; without nesting: --no-nesting`;
  }
  return DEVICE_HELP[code] ?? REASONS.other[1];
}

const DEVICE_HELP: Readonly<Record<string, string>> = {
  EADDRINUSE: "memory is mapped where it needs the addresses for itself",
  EINVAL:
    "its IOMMU is not like that of the others, or it shares a group with a device that is attached elsewhere",
  ENOMEM: "out of memory",
};

/** Whether a VMM would get its way. */
export function isAccepted(report: CheckReport): boolean {
  return report.deviceObstacles.length === 0 && report.obstacles.length === 0 && !isLimited(report);
}

/** The document `iommufd.check/1`. */
export function checkDocument(report: CheckReport): object {
  const { origin, devices, nesting, plan, iovaRanges } = report;
  const { deviceObstacles, obstacles, lockedMemory, memlock } = report;
  const range = ({ start, last }: { start: bigint; last: bigint }) => ({
    start: hex(start),
    last: hex(last),
  });
  return {
    schema: "iommufd.check/1",
    ...origin,
    accepted: isAccepted(report),
    devices,
    nesting,
    bypassRo: plan.bypassRo,
    reason: report.bypassRoReason,
    mappings: plan.map.length,
    iovaRanges: iovaRanges.map(range),
    deviceObstacles: deviceObstacles.map(({ message, ...obstacle }) => ({
      ...obstacle,
      help: helpForDevice({ ...obstacle, ...(message !== undefined && { message }) }),
    })),
    obstacles: obstacles.map(({ mapping, code, reason, conflict }) => ({
      region: mapping.section.region,
      iova: hex(mapping.iova),
      length: hex(mapping.length),
      readonly: mapping.readonly,
      code,
      reason,
      conflict: conflict === null ? null : range(conflict),
      help: REASONS[reason][1],
    })),
    lockedMemory: {
      needed: hex(lockedMemory),
      limit: memlock?.limit === undefined ? null : hex(memlock.limit),
      exempt: memlock?.exempt ?? null,
    },
    memoryMap: memoryMapDocument(plan),
  };
}

/** The facts about the trial, beside the host. */
export function checkFacts(report: CheckReport): Fact[] {
  const { nesting, plan, bypassRoReason, iovaRanges } = report;
  return [
    ["Nesting", [nesting ? "wanted" : "not wanted"]],
    ["bypassRo", [`${plan.bypassRo ? "on" : "off"}: ${bypassRoReason}`]],
    ["IOVAs", [iovaRanges.map(({ start, last }) => formatRange(start, last)).join(", ")]],
    ["Memory", formatMemory(report)],
    ...uncertaintyFacts(plan),
  ];
}

/** The advice against refusals, each once. */
export function checkAdvice(report: CheckReport): Advice[] {
  const { deviceObstacles, obstacles } = report;
  return [
    ...deviceObstacles.map((obstacle) => `${obstacle.device}: ${helpForDevice(obstacle)}`),
    ...new Set(obstacles.map(({ reason }) => REASONS[reason][1])),
    ...(isLimited(report) ? [REASONS.memory[1]] : []),
  ].map((text) => ({ text }));
}

/** The devices that could not be opened or attached: with what. */
export function deviceFacts({ deviceObstacles }: CheckReport): Fact[] {
  return deviceObstacles.map(({ device, code, syscall }) => [device, [`${code}, ${syscall}`]]);
}

/** The outcome for people. */
export function formatCheck(report: CheckReport, { width, paint }: Look = PLAIN): string {
  const { text } = checkVerdict(report);
  const accepted = isAccepted(report);
  const outcome = accepted ? "accepted" : "refused";
  const head: Fact[] = [originFact(report.origin), ["Plan", [`${outcome}: ${text}`]], ...checkFacts(report)];
  const indented = (line: string) => wrap(line, width - 2).map((each) => `  ${each}`);
  return [
    paintFirst(formatFacts(head, width), `${outcome}:`, (word) => paint(accepted ? "green" : "red", word)),
    ...report.deviceObstacles.flatMap((obstacle) => [
      "",
      `${obstacle.device}: ${paint("red", obstacle.code)}, ${obstacle.syscall}`,
      ...indented(helpForDevice(obstacle)),
    ]),
    ...report.obstacles.flatMap((obstacle) => [
      "",
      ...wrap(describeMapping(obstacle), width - obstacle.code.length - 2).map((line, index, lines) =>
        index === lines.length - 1 ? `${line}: ${paint("red", obstacle.code)}` : line,
      ),
      ...explainObstacle(obstacle).flatMap(indented),
    ]),
  ].join("\n");
}

/** Memory is locked once for each address space: a VMM that needs one for each device needs it as often. */
function formatMemory(report: CheckReport): string[] {
  const { devices, lockedMemory, memlock } = report;
  const each =
    devices.length > 1
      ? `${formatLength(lockedMemory)} locked for all ${devices.length} devices in one address space, as here; ` +
        `${formatLength(lockedMemory * BigInt(devices.length))} with one for each`
      : `${formatLength(lockedMemory)} locked`;
  if (memlock === undefined) return [each];
  if (memlock.exempt)
    return [each, "no limit for this process (CAP_IPC_LOCK); one without has RLIMIT_MEMLOCK"];
  if (memlock.limit === undefined) return [each, "no limit (RLIMIT_MEMLOCK is unlimited)"];
  const limit = `limit: ${formatLength(memlock.limit)} (RLIMIT_MEMLOCK)`;
  return [each, isLimited(report) ? `${limit}, which is too low: ${REASONS.memory[1]}` : limit];
}

function describeMapping({ mapping }: Obstacle): string {
  const { section, iova, length, readonly } = mapping;
  const range = formatRange(iova, iova + length - 1n);
  return `${printable(section.region)} at ${range}${readonly ? ", read-only" : ""}`;
}

/** Why a mapping was refused, and what helps. */
export function explainObstacle({ reason, conflict }: Obstacle): [why: string, help: string] {
  const [why, help] = REASONS[reason];
  const there =
    conflict === null
      ? ""
      : reason === "outside-aperture"
        ? ` (it can: ${formatRange(conflict.start, conflict.last)})`
        : ` (${formatRange(conflict.start, conflict.last)})`;
  return [`${why}${there}`, help];
}
