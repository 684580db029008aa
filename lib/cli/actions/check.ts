/** What `iommufd check` does: whether a plan would be accepted, tried for real without a VM. */

import { normalizeBdf } from "../../bdf.ts";
import { type DeviceObstacle, preflight } from "../../container/preflight.ts";
import { IommufdError, isSystemError } from "../../errors.ts";
import { memlockLimit } from "../../host/memlock.ts";
import type { Device } from "../../iommufd/device.ts";
import type { Iommufd } from "../../iommufd/iommufd.ts";
import { originOf } from "../../origin.ts";
import { type CheckReport, checkDocument, formatCheck, isAccepted } from "../../report/check-report.ts";
import { onlyDevice, withIommufd } from "../asked-iommufd.ts";
import { EXIT } from "../exit.ts";
import { Interruption } from "../interruption.ts";
import { printError } from "../output.ts";
import { readPlanInput, writeReport } from "../plan-input.ts";
import type { PlanFlags } from "../plan-options.ts";
import { Progress } from "../progress.ts";

interface CheckFlags extends PlanFlags {
  device?: string[];
}

/** Runs `iommufd check`. */
export async function check(file: string | undefined, flags: CheckFlags): Promise<void> {
  const { source, sections, nesting } = await readPlanInput(file, flags);
  using interruption = new Interruption();
  try {
    const report = await withIommufd(flags, async (iommufd): Promise<CheckReport> => {
      const names = (flags.device ?? [onlyDevice(iommufd)]).map(normalizeBdf);
      const { devices, unopened } = openAll(iommufd, names);
      const { bypassRo, pageSize } = flags;
      using progress = new Progress("checking", flags);
      const onProgress = (done: bigint, total: bigint) => progress.update(done, total);
      const { signal } = interruption;
      const found = await preflight(iommufd, devices, sections, {
        nesting,
        bypassRo,
        pageSize,
        onProgress,
        signal,
        unopened,
      });
      return { origin: originOf(iommufd), devices: names, nesting, ...found, memlock: limitOf(iommufd) };
    });
    await writeReport(flags, {
      document: () => checkDocument(report),
      text: () => formatCheck(report),
      page: async () => (await import("../../report/page/check-page.ts")).checkPage(report, source),
    });
    if (!isAccepted(report)) process.exitCode = EXIT.no;
  } catch (error) {
    if (interruption.exitCode === undefined) throw error;
    printError(new Error("interrupted; everything was undone"), false);
    process.exitCode = interruption.exitCode;
  }
}

/**
 * Opens devices. Those that cannot be opened are told with the rest of what is refused.
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

/** A modelled machine has its own limit, which is answered with ENOMEM. */
function limitOf(iommufd: Iommufd): CheckReport["memlock"] {
  return iommufd.backend === "kernel" ? memlockLimit() : undefined;
}
