/** The action of `iommufd check`: tries a plan for real, without a VM. */

import { inspect } from "node:util";
import { normalizeBdf } from "../../bdf.ts";
import { type DeviceObstacle, preflight } from "../../container/preflight.ts";
import { IommufdError, isSystemError } from "../../errors.ts";
import { memlockLimit } from "../../host/memlock.ts";
import { type DecodedHwInfo, decodeHwInfo } from "../../hw-info/hw-info.ts";
import type { Device } from "../../iommufd/device.ts";
import type { Iommufd } from "../../iommufd/iommufd.ts";
import { originOf } from "../../origin.ts";
import { type CheckReport, checkDocument, formatCheck, isAccepted } from "../../report/check-report.ts";
import { describeIommu } from "../../report/iommu-report.ts";
import { onlyDevice, withIommufd } from "../asked-iommufd.ts";
import { EXIT } from "../exit.ts";
import { Interruption } from "../interruption.ts";
import { LOOK, printError } from "../output.ts";
import { type PlanInput, readPlanInput, writeReport } from "../plan-input.ts";
import type { PlanFlags } from "../plan-options.ts";
import { Progress } from "../progress.ts";

interface CheckFlags extends PlanFlags {
  device?: string[];
}

/** Runs `iommufd check`. */
export async function check(file: string | undefined, flags: CheckFlags): Promise<void> {
  const input = await readPlanInput(file, flags);
  const tried = await withIommufd(flags, async (iommufd): Promise<CheckReport | { exitCode: number }> => {
    // Only while there is work to undo. At other times a signal ends the program at once, whatever it waits for: a FIFO that
    // nobody reads or writes cannot keep it.
    using interruption = new Interruption();
    try {
      return await tryPlan(iommufd, flags, input, interruption.signal);
    } catch (error) {
      if (interruption.exitCode === undefined) throw error;
      return { exitCode: interruption.exitCode };
    }
  });
  if ("exitCode" in tried) {
    printError(new Error("interrupted; everything was undone"), false);
    process.exitCode = tried.exitCode;
    return;
  }
  if (!isAccepted(tried)) process.exitCode = EXIT.no;
  await writeReport(flags, {
    document: () => checkDocument(tried),
    text: () => [formatCheck(tried, LOOK)],
    page: async () => (await import("../../report/page/check-page.ts")).checkPage(tried, input.source),
  });
}

async function tryPlan(
  iommufd: Iommufd,
  flags: CheckFlags,
  { source, sections, nesting, vm }: PlanInput,
  signal: AbortSignal,
): Promise<CheckReport> {
  const names = (flags.device ?? [onlyDevice(iommufd)]).map(normalizeBdf);
  const { devices, unopened } = openAll(iommufd, names);
  const { bypassRo, pageSize } = flags;
  using progress = new Progress("checking", flags);
  const onProgress = (done: bigint, total: bigint) => progress.update(done, total);
  const options = { nesting, bypassRo, pageSize, onProgress, signal, unopened };
  const found = await preflight(iommufd, devices, sections, options);
  if (found.plan.map.length === 0 && found.deviceObstacles.length === 0) throw nothingToCheck(source, flags);
  return {
    origin: originOf(iommufd),
    devices: names,
    nesting,
    ...found,
    ...describeIommus(devices, nesting, found.deviceObstacles),
    vm,
    memlock: limitOf(iommufd),
  };
}

/** The kernel accepts a plan without mappings, which says nothing. */
function nothingToCheck(source: string, { addressSpace }: CheckFlags): IommufdError {
  return new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${source}: nothing of the address space ${JSON.stringify(addressSpace)} is mapped, so there is nothing to check; ` +
      "is it the one that the devices see?",
  );
}

/**
 * Opens devices. Devices that cannot be opened are reported with the other refusals.
 *
 * @throws SystemError, IommufdError: the only one cannot be opened
 */
function openAll(
  iommufd: Iommufd,
  names: readonly string[],
): { devices: Device[]; unopened: DeviceObstacle[] } {
  const devices: Device[] = [];
  const unopened: DeviceObstacle[] = [];
  for (const device of names) {
    try {
      devices.push(iommufd.openDevice(device));
    } catch (error) {
      const isRefusal = isSystemError(error) || error instanceof IommufdError;
      if (!isRefusal || names.length === 1) throw error;
      const { code, message } = error;
      const syscall = isSystemError(error) ? error.syscall : "open";
      unopened.push({ device, syscall, code, iommu: null, message });
    }
  }
  return { devices, unopened };
}

/** The IOMMUs of devices: equal ones are described once. A nest parent was made for each that was attached. */
function describeIommus(
  devices: readonly Device[],
  nesting: boolean,
  obstacles: readonly DeviceObstacle[],
): Pick<CheckReport, "iommu" | "affected"> {
  const groups = new Map<string, { names: string[]; info: DecodedHwInfo; nestParent: boolean | undefined }>();
  const reported: (boolean | undefined)[] = [];
  for (const device of devices) {
    const info = decodeHwInfo(device.hwInfo());
    reported.push(info.erratum772415);
    const obstacle = obstacles.find((each) => each.device === device.name);
    const nestParent =
      nesting && obstacle === undefined ? true : obstacle?.code === "EOPNOTSUPP" ? false : undefined;
    const key = inspect([info, nestParent], { depth: null });
    const group = groups.get(key) ?? { names: [], info, nestParent };
    group.names.push(device.name);
    groups.set(key, group);
  }
  return {
    iommu: [...groups.values()].flatMap(({ names, info, nestParent }) =>
      describeIommu(names, info, nestParent),
    ),
    affected: reported.includes(true) ? true : reported.includes(undefined) ? undefined : false,
  };
}

/**
 * The limit on locked memory that this process or the modelled machine has. The tried mappings do not reach it, because they
 * are copies of one piece of memory, which is charged once.
 */
function limitOf(iommufd: Iommufd): CheckReport["memlock"] {
  if (iommufd.backend === "kernel") return memlockLimit();
  return iommufd.memlock === undefined ? undefined : { limit: iommufd.memlock, exempt: false };
}
