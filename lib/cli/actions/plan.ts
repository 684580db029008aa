/** The action of `iommufd plan`: lists which sections of a VM's memory map become DMA mappings, and which must not. */

import { decideBypassRo, type HostIommuQuirk, quirksForDecision } from "../../container/errata.ts";
import { isUnexpectedlyMisaligned, plan } from "../../container/plan.ts";
import { askIovaRanges, askNestParent } from "../../container/probe.ts";
import { isSystemError } from "../../errors.ts";
import { machinePageSize } from "../../host/page-size.ts";
import { decodeHwInfo } from "../../hw-info/hw-info.ts";
import type { Device } from "../../iommufd/device.ts";
import type { Iommufd } from "../../iommufd/iommufd.ts";
import { type Origin, originOf } from "../../origin.ts";
import { describeIommu } from "../../report/iommu-report.ts";
import { formatPlan, planDocument } from "../../report/plan-report.ts";
import { type Fact, formatAddress } from "../../report/text.ts";
import type { IovaRange } from "../../uapi.ts";
import { onlyDevice, withIommufd } from "../asked-iommufd.ts";
import { LOOK, printNote } from "../output.ts";
import { readPlanInput, writeReport } from "../plan-input.ts";
import type { PlanFlags } from "../plan-options.ts";

interface PlanFileFlags extends PlanFlags {
  device?: string;
}

/** The known facts about the host. */
interface Host {
  readonly origin: Origin;
  /** Undefined: its IOMMU did not say. */
  readonly quirks: readonly HostIommuQuirk[] | undefined;
  /** Whether it reports the erratum; undefined: unknown. */
  readonly affected: boolean | undefined;
  readonly pageSize: number;
  /** Whether the kernel makes a nest parent; undefined where it does not say. */
  readonly nestParent: boolean | undefined;
  /** The IOMMU in words. */
  readonly iommu: readonly Fact[];
  /** Where mappings may be; undefined where the device cannot be attached. */
  readonly iovaRanges: readonly IovaRange[] | undefined;
}

/** Runs `iommufd plan`. */
export async function planFile(file: string | undefined, flags: PlanFileFlags): Promise<void> {
  const { addressSpace, bypassRo: setting } = flags;
  let damage: string | undefined;
  const { source, sections, nesting, vm } = await readPlanInput(file, flags, (found) => {
    damage = found;
  });
  const host = needsHost(flags, nesting)
    ? await withIommufd(flags, (iommufd) => askHost(iommufd, flags.device))
    : undefined;

  const decision = decideBypassRo({ nesting, setting, quirks: host?.quirks });
  const pageSize = flags.pageSize ?? host?.pageSize ?? machinePageSize();
  const report = {
    origin: host?.origin ?? originOf(undefined),
    addressSpace,
    nesting,
    decision,
    affected: host?.affected,
    nestParent: host?.nestParent,
    plan: plan(sections, { bypassRo: decision.bypassRo, pageSize }),
    iommu: host?.iommu,
    iovaRanges: host?.iovaRanges,
    vm,
    damage,
  };
  if (damage !== undefined && !flags.quiet) printNote(`the memory map is not whole: ${damage}`);
  const misaligned = flags.quiet ? [] : report.plan.skipped.filter(isUnexpectedlyMisaligned);
  for (const { section } of misaligned) {
    const address = formatAddress(section.start);
    printNote(`${source}: ${section.region} at ${address} is not aligned like its region, and not mapped`);
  }
  await writeReport(flags, {
    document: () => planDocument(report),
    text: () => formatPlan(report, LOOK),
    page: async () => (await import("../../report/page/plan-page.ts")).planPage(report, source),
  });
}

/** Whether the IOMMU has to be asked: the decision follows it, or it was named. */
function needsHost({ bypassRo, device, profile, backend }: PlanFileFlags, nesting: boolean): boolean {
  return (
    (nesting && bypassRo === "auto") || device !== undefined || profile !== undefined || backend !== undefined
  );
}

function askHost(iommufd: Iommufd, bdf: string | undefined): Host {
  using device = iommufd.openDevice(bdf ?? onlyDevice(iommufd));
  const info = device.hwInfo();
  const decoded = decodeHwInfo(info);
  const nestParent = askNestParent(iommufd, device);
  return {
    origin: originOf(iommufd),
    quirks: quirksForDecision(info),
    affected: decoded.erratum772415,
    pageSize: iommufd.pageSize,
    nestParent,
    iommu: describeIommu([device.name], decoded, nestParent),
    iovaRanges: iovaRangesIfAny(iommufd, device),
  };
}

/** The plan does without them: a device whose group is attached elsewhere has no ranges. */
function iovaRangesIfAny(iommufd: Iommufd, device: Device): readonly IovaRange[] | undefined {
  try {
    return askIovaRanges(iommufd, device);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined;
  }
}
