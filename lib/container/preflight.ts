/**
 * A plan tried out for real, without a VM: domains, attachments and every mapping at its own IOVA and length, and then
 * all undone.
 *
 * One piece of memory stands in for all of the guest's: it is mapped once, and copied (IOMMU_IOAS_COPY) to wherever the
 * guest's would be. So a guest of a terabyte takes no terabyte, and what the kernel checks of a mapping it checks of a copy.
 */

import { setImmediate } from "node:timers/promises";
import { isSystemError } from "../errors.ts";
import { decodeHwInfo } from "../hw-info/hw-info.ts";
import { reportsErratum772415 } from "../hw-info/vtd.ts";
import type { Device } from "../iommufd/device.ts";
import type { Ioas } from "../iommufd/ioas.ts";
import type { Iommufd } from "../iommufd/iommufd.ts";
import { apertureOf, reservedBetween } from "../iova-ranges.ts";
import type { MemorySection } from "../section.ts";
import type { IovaRange } from "../uapi.ts";
import { Container, type ContainerOptions } from "./container.ts";
import { mappedBytes, type Plan, type PlannedMapping, plan } from "./plan.ts";

/** How much memory stands in for the guest's, in bytes. */
const STAND_IN = 64n << 20n;
/** For how long the event loop waits for copies, in milliseconds. Signals and progress have their turn then. */
const TURN_MS = 20;

/** The plan and the devices to try. */
export interface PreflightOptions extends Pick<ContainerOptions, "nesting" | "bypassRo"> {
  /** Page size that the plan is made for, in bytes; default: that of this host. */
  pageSize?: number | undefined;
  /** Told how much of the guest's memory has been tried, in bytes. */
  onProgress?: ((done: bigint, total: bigint) => void) | undefined;
  /** Stops it; everything is undone. */
  signal?: AbortSignal | undefined;
  /** Devices that could not even be opened: they are in the way as those are that cannot be attached. */
  unopened?: readonly DeviceObstacle[] | undefined;
}

/** Why a mapping was refused, as far as it can be told. */
export type ObstacleReason =
  /** The IOMMU cannot translate such addresses. */
  | "outside-aperture"
  /** Part of it is reserved: for interrupts, or by firmware. */
  | "reserved"
  /** ERRATA_772415_SPR17: no read-only mapping on a nest parent. */
  | "read-only-on-nest-parent"
  /** Another section is mapped there. */
  | "overlap"
  /** Past RLIMIT_MEMLOCK, or out of memory. */
  | "memory"
  /** Something else: the code is all there is. */
  | "other";

/** A mapping that the kernel refused. */
export interface Obstacle {
  readonly mapping: PlannedMapping;
  /** The error of the kernel: "EINVAL". */
  readonly code: string;
  readonly reason: ObstacleReason;
  /** The addresses that are in the way, where that can be told. */
  readonly conflict: IovaRange | null;
}

/** A device that could not be opened or attached. */
export interface DeviceObstacle {
  readonly device: string;
  /** The ioctl, and what the kernel answered. */
  readonly syscall: string;
  readonly code: string;
  /** The type of the IOMMU that it is behind, as `decodeHwInfo` names it; null if unknown. */
  readonly iommu: string | null;
  /** More about the cause: the process that has it open. */
  readonly message?: string;
}

/** The outcome. */
export interface Preflight {
  /** The plan that was tried, without the devices that could not be attached. */
  readonly plan: Plan;
  /** Why read-only sections are left out, or are not, in one sentence. */
  readonly bypassRoReason: string;
  /** Where mappings may be, with all devices attached. */
  readonly iovaRanges: readonly IovaRange[];
  /** Devices that could not be opened or attached. Where there are any, nothing was mapped. */
  readonly deviceObstacles: readonly DeviceObstacle[];
  /** Mappings that were refused. */
  readonly obstacles: readonly Obstacle[];
  /** How much memory the plan locks in one address space, in bytes. */
  readonly lockedMemory: bigint;
}

/**
 * Tries a plan.
 *
 * @param devices open, attached to nothing
 * @throws SystemError ENOMEM: there is not even the memory that stands in
 * @throws what the signal was aborted with
 */
export async function preflight(
  iommufd: Iommufd,
  devices: readonly Device[],
  sections: Iterable<MemorySection>,
  options: PreflightOptions = {},
): Promise<Preflight> {
  const { nesting, bypassRo, pageSize = iommufd.pageSize, onProgress, signal, unopened = [] } = options;
  await using container = new Container(iommufd, { nesting, bypassRo, onWarning: () => {} });
  const deviceObstacles: DeviceObstacle[] = [...unopened];
  for (const device of devices) {
    try {
      await container.addDevice(device);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      const { syscall, code } = error;
      deviceObstacles.push({ device: device.name, syscall, code, iommu: iommuOf(device) });
    }
  }
  const tried = plan(sections, { bypassRo: container.bypassRo, pageSize });
  const { ranges } = container.iovaRanges();
  const total = mappedBytes(tried);
  const { bypassRoReason } = container;
  const found = { plan: tried, bypassRoReason, iovaRanges: ranges, deviceObstacles, lockedMemory: total };
  if (deviceObstacles.length > 0) return { ...found, obstacles: [] };

  const longest = tried.map.reduce(
    (most, { length }) => (length > most ? length : most),
    BigInt(iommufd.pageSize),
  );
  const size = longest < STAND_IN ? longest : STAND_IN;
  using memory = iommufd.allocMemory(size);
  using source = iommufd.allocIoas();
  await source.map(memory, { iova: 0n });
  const takesNoReadOnly = nesting === true && devices.some(reportsErratum);
  const obstacles: Obstacle[] = [];
  const mapped: PlannedMapping[] = [];
  const turns = new Turns(signal);
  let done = 0n;
  try {
    for (const mapping of tried.map) {
      const onPiece = (offset: bigint) => onProgress?.(done + offset, total);
      const code = await refusalOf(mapping, container.ioas, source, size, turns, onPiece);
      if (code === undefined) mapped.push(mapping);
      else obstacles.push(explain(mapping, code, takesNoReadOnly, ranges, mapped));
      done += mapping.length;
      onProgress?.(done, total);
    }
  } finally {
    // Before the memory that it maps, however it went.
    await container.close();
  }
  return { ...found, obstacles };
}

function reportsErratum(device: Device): boolean {
  return reportsErratum772415(device.hwInfo()) === true;
}

function iommuOf(device: Device): string | null {
  try {
    return decodeHwInfo(device.hwInfo()).type;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
}

/** The event loop's turns between copies. */
class Turns {
  readonly #signal: AbortSignal | undefined;
  #end = performance.now() + TURN_MS;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /**
   * Lets the event loop go on where it is time.
   *
   * @throws what the signal was aborted with
   */
  async next(): Promise<void> {
    if (performance.now() >= this.#end) {
      await setImmediate();
      this.#end = performance.now() + TURN_MS;
    }
    this.#signal?.throwIfAborted();
  }
}

/**
 * Makes a mapping, in pieces of the stand-in memory. Returns the error of the kernel if it refuses; then nothing of the
 * mapping is left. Copies are made on this thread: the way to another and back takes longer than most of them.
 */
async function refusalOf(
  mapping: PlannedMapping,
  ioas: Ioas,
  source: Ioas,
  size: bigint,
  turns: Turns,
  onPiece: (end: bigint) => void,
): Promise<string | undefined> {
  const writable = !mapping.readonly;
  try {
    for (let offset = 0n; offset < mapping.length; offset += size) {
      await turns.next();
      const rest = mapping.length - offset;
      const length = rest < size ? rest : size;
      ioas.copyFromSync(source, { sourceIova: 0n, length, iova: mapping.iova + offset, writable });
      onPiece(offset + length);
    }
    return undefined;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    await unmapAll(ioas, mapping);
    return error.code;
  }
}

/** Takes away what of a mapping was made before the rest was refused. */
async function unmapAll(ioas: Ioas, { iova, length }: PlannedMapping): Promise<void> {
  try {
    await ioas.unmap(iova, length);
  } catch (error) {
    if (!isSystemError(error, "ENOENT")) throw error;
  }
}

function explain(
  mapping: PlannedMapping,
  code: string,
  takesNoReadOnly: boolean,
  ranges: readonly IovaRange[],
  mapped: readonly PlannedMapping[],
): Obstacle {
  const { iova, length, readonly } = mapping;
  const last = iova + length - 1n;
  const obstacle = (reason: ObstacleReason, conflict: IovaRange | null = null) => ({
    mapping,
    code,
    reason,
    conflict,
  });
  const aperture = apertureOf(ranges);
  if (iova < aperture.start || last > aperture.last) return obstacle("outside-aperture", aperture);
  const gap = reservedBetween(ranges).find((each) => each.start <= last && each.last >= iova);
  if (gap !== undefined) return obstacle("reserved", gap);
  if (code === "EEXIST") {
    const other = mapped.find((each) => each.iova <= last && each.iova + each.length > iova);
    return obstacle("overlap", other ? { start: other.iova, last: other.iova + other.length - 1n } : null);
  }
  if (code === "EINVAL" && readonly && takesNoReadOnly) return obstacle("read-only-on-nest-parent");
  return obstacle(code === "ENOMEM" ? "memory" : "other");
}
