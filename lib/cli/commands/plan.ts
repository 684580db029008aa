/** `iommufd plan`: which sections of a VM's memory map become DMA mappings, and which must not. */

import { Command } from "commander";
import { decideBypassRo, type HostIommuQuirk, quirksForDecision } from "../../container/errata.ts";
import { isUnexpectedlyMisaligned, plan } from "../../container/plan.ts";
import { askIovaRanges, askNestParent } from "../../container/probe.ts";
import { isSystemError } from "../../errors.ts";
import { decodeHwInfo } from "../../hw-info/hw-info.ts";
import type { Device } from "../../iommufd/device.ts";
import type { Iommufd } from "../../iommufd/iommufd.ts";
import { type Origin, originOf } from "../../origin.ts";
import { describeIommu } from "../../report/iommu-report.ts";
import { planPage } from "../../report/page/plan-page.ts";
import { formatPlan, planDocument } from "../../report/plan-report.ts";
import { type Fact, formatAddress } from "../../report/text.ts";
import type { IovaRange } from "../../uapi.ts";
import { addExamples } from "../examples.ts";
import { withIommufd } from "../options.ts";
import { LOOK, printNote } from "../output.ts";
import { addPlanOptions, onlyDevice, type PlanFlags, readPlanInput, writeReport } from "../plan-input.ts";

interface PlanFileFlags extends PlanFlags {
  device?: string;
}

/** What is known of the host. */
interface Host {
  readonly origin: Origin;
  /** Undefined: its IOMMU did not tell. */
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

/** The command. */
export function planCommand(): Command {
  const command = new Command("plan")
    .summary("decide which memory sections become DMA mappings")
    .description(
      "Reads a VM's memory map, as QEMU's monitor prints it for \"info mtree -f\" or as a JSON section list, or asks a " +
        "running QEMU, and tells which sections are mapped for DMA and which are left out, and why. Nothing is mapped.",
    );
  return addExamples(
    addPlanOptions(command).option(
      "--device <bdf>",
      "the device whose IOMMU decides (default: the only one there is)",
    ),
    "iommufd plan guest.mtree --device 6a:01.0",
    "iommufd plan guest.mtree --profile sapphire-rapids",
    "iommufd plan - --bypass-ro on --json < guest.mtree",
    "iommufd plan --qmp /run/vm/qmp.sock --device 6a:01.0",
    "iommufd plan --libvirt guest1 --device 6a:01.0",
  ).action(planFile);
}

async function planFile(file: string | undefined, flags: PlanFileFlags): Promise<void> {
  const { addressSpace, bypassRo: setting } = flags;
  let damage: string | undefined;
  const { source, sections, nesting, vm } = await readPlanInput(file, flags, (found) => {
    damage = found;
  });
  const host = needsHost(flags, nesting)
    ? await withIommufd(flags, (iommufd) => askHost(iommufd, flags.device))
    : undefined;

  const decision = decideBypassRo({ nesting, setting, quirks: host?.quirks });
  const pageSize = flags.pageSize ?? host?.pageSize;
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
    page: () => planPage(report, source),
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

/** The plan does without them: a device whose group is attached elsewhere has none to tell. */
function iovaRangesIfAny(iommufd: Iommufd, device: Device): readonly IovaRange[] | undefined {
  try {
    return askIovaRanges(iommufd, device);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined;
  }
}
