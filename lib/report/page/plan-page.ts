/** A plan as a page. */

import { type DrawnSection, drawPlan } from "../address-map.ts";
import { damageFacts, isUncertain } from "../memory-map-report.ts";
import {
  describeDecision,
  describeRegion,
  describeVm,
  type PlanReport,
  planAdvice,
  planFacts,
  planTotals,
} from "../plan-report.ts";
import { planVerdict } from "../verdict.ts";
import { formatPage, type PageSection } from "./page.ts";

/** @param source what the plan is of: a file, a socket, a domain */
export function planPage(report: PlanReport, source: string): string {
  const map = drawPlan(report.plan, report.iovaRanges);
  return formatPage({
    title: `DMA plan of ${source}`,
    origin: report.origin,
    verdict: planVerdict(report),
    iommu: report.iommu ?? [],
    vm: describeVm(report.vm),
    facts: [...damageFacts(report.damage), ...planFacts(report), planTotals(report)],
    map,
    sections: map.guest.map(describeSection),
    heading: "In QEMU",
    advice: planAdvice(report),
  });
}

/** A section of a plan, as pages show it. */
export function describeSection({ start, last, kind, decision }: DrawnSection): PageSection {
  const remark = isUncertain(decision) ? "may be a ROM device, which is not mapped" : "";
  return { use: describeDecision(decision), kind, start, last, region: describeRegion(decision), remark };
}
