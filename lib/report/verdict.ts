/** The verdict on a plan, in one line. An unknown is never called safe. */

import { isUnexpectedlyMisaligned, type Plan } from "../container/plan.ts";
import type { Preflight } from "../container/preflight.ts";
import type { MemlockLimit } from "../host/memlock.ts";
import { isWithin } from "../iova-ranges.ts";
import { formatLength } from "../lengths.ts";
import type { IovaRange } from "../uapi.ts";
import type { Colour } from "./look.ts";
import { isUncertain } from "./memory-map-report.ts";

/** The verdicts on a plan. */
export type Outcome =
  /** Every section is mapped as the guest has it, and the host takes all of it. */
  | "safe"
  /** The host takes the plan, which leaves out sections that the guest has. */
  | "changed"
  /** The host refuses the plan. */
  | "refused"
  /** Something that decides was not asked, or not answered. */
  | "unknown";

/** The outcome, and why, in one line without a full stop. */
export interface Verdict {
  readonly outcome: Outcome;
  readonly text: string;
}

/** The colour of an outcome. */
export const OUTCOME_COLOURS: Readonly<Record<Outcome, Colour>> = {
  safe: "green",
  changed: "yellow",
  refused: "red",
  unknown: "gray",
};

/** The facts that the verdict on a plan depends on. */
interface Planned {
  readonly nesting: boolean;
  /** Whether the host reports the erratum; undefined where it was not asked. */
  readonly affected: boolean | undefined;
  /** Whether the kernel makes a nest parent for the device; undefined where it was not asked, or did not say. */
  readonly nestParent: boolean | undefined;
  readonly plan: Plan;
  /** Where the host lets mappings be; undefined where it was not asked. */
  readonly iovaRanges?: readonly IovaRange[] | undefined;
  /** Evidence that the memory map is not whole; undefined if there is none. */
  readonly damage?: string | undefined;
}

/** The verdict on a plan that was not tried. */
export function planVerdict({ nesting, affected, nestParent, plan, iovaRanges, damage }: Planned): Verdict {
  const readOnly = plan.map.filter((mapping) => mapping.readonly).length;
  if (nesting && nestParent === false)
    return { outcome: "refused", text: "the kernel makes no nest parent for the device (EOPNOTSUPP)" };
  if (nesting && affected && readOnly > 0)
    return {
      outcome: "refused",
      text: `${count(readOnly, "read-only mapping")} on a nest parent, which ERRATA_772415_SPR17 forbids`,
    };
  const outside = countOutside(plan, iovaRanges);
  if (outside > 0)
    return {
      outcome: "refused",
      text: `${outside} of ${count(plan.map.length, "mapping")} at addresses where the host maps nothing`,
    };
  if (damage !== undefined)
    return { outcome: "unknown", text: "the memory map is not whole: sections may be missing" };
  if (nesting && affected === undefined && readOnly > 0)
    return {
      outcome: "unknown",
      text: `${count(readOnly, "read-only mapping")}, and no IOMMU was asked whether it has ERRATA_772415_SPR17`,
    };
  const unasked = [
    ...(iovaRanges === undefined ? ["which addresses the host maps"] : []),
    ...(nesting && nestParent === undefined ? ["whether the host nests"] : []),
  ];
  return judge(plan, nesting && affected, unasked, count(plan.map.length, "mapping"));
}

/** The facts that the verdict on a check depends on. */
interface Tried extends Preflight {
  readonly devices: readonly string[];
  readonly nesting: boolean;
  /** Whether an IOMMU reports the erratum; undefined if one did not say. */
  readonly affected: boolean | undefined;
  readonly memlock: MemlockLimit | undefined;
}

/** The verdict on a plan that was tried. */
export function checkVerdict(tried: Tried): Verdict {
  const { devices, nesting, affected, plan, deviceObstacles, obstacles } = tried;
  if (deviceObstacles.length > 0)
    return {
      outcome: "refused",
      text: `${deviceObstacles.length} of ${count(devices.length, "device")} cannot be opened or attached, nothing was mapped`,
    };
  if (obstacles.length > 0)
    return {
      outcome: "refused",
      text: `${obstacles.length} of ${count(plan.map.length, "mapping")}; the others were made, and undone again`,
    };
  if (isLimited(tried)) return { outcome: "refused", text: "the limit on locked memory is too low" };
  const readOnly = plan.map.filter((mapping) => mapping.readonly).length;
  const unasked = nesting && affected !== false && readOnly > 0 ? ["whether it has ERRATA_772415_SPR17"] : [];
  return judge(
    plan,
    nesting && affected,
    unasked,
    `${count(plan.map.length, "mapping")} on ${devices.join(", ")}, all undone again`,
  );
}

/** Whether the plan locks more than the process may. */
export function isLimited({ memlock, lockedMemory }: Pick<Tried, "memlock" | "lockedMemory">): boolean {
  return memlock?.exempt === false && memlock.limit !== undefined && lockedMemory > memlock.limit;
}

/**
 * The verdict on a plan that nothing refuses. A plan without mappings is most likely of another address space.
 *
 * @param erratum whether read-only sections are left out for the erratum
 * @param unasked what nobody told
 * @param mapped what was mapped
 */
function judge(
  plan: Plan,
  erratum: boolean | undefined,
  unasked: readonly string[],
  mapped: string,
): Verdict {
  const { sections, bytes } = leftOutReadOnly(plan);
  const misaligned = plan.skipped.filter(isUnexpectedlyMisaligned).length;
  const uncertain = plan.map.filter(isUncertain).length;
  const changes = [
    ...(sections > 0
      ? [
          `${count(sections, "read-only section")} left out${erratum ? " for ERRATA_772415_SPR17" : ""}, ${formatLength(bytes)}`,
        ]
      : []),
    ...(misaligned > 0 ? [`${count(misaligned, "section")} left out as not aligned`] : []),
  ];
  const unknown = [
    ...(plan.map.length === 0 ? ["is it the address space that the devices see?"] : []),
    ...(unasked.length > 0 ? [`not asked: ${unasked.join(", ")}`] : []),
    ...(uncertain > 0 ? [`${count(uncertain, "section")} may be no RAM`] : []),
  ];
  const outcome = unknown.length > 0 ? "unknown" : changes.length > 0 ? "changed" : "safe";
  return { outcome, text: [mapped, ...changes, ...unknown].join("; ") };
}

/** The read-only sections that a plan leaves out. */
export function leftOutReadOnly({ skipped }: Plan): { sections: number; bytes: bigint } {
  const sections = skipped.filter(({ reason }) => reason === "read-only");
  return {
    sections: sections.length,
    bytes: sections.reduce((sum, { section }) => sum + section.size, 0n),
  };
}

/** How many mappings are where the host lets none be; 0 if it was not asked. */
export function countOutside(plan: Plan, iovaRanges: readonly IovaRange[] | undefined): number {
  if (iovaRanges === undefined) return 0;
  return plan.map.filter(({ iova, length }) => !isWithin(iovaRanges, iova, length)).length;
}

/** "1 mapping", "2 mappings". */
function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
