/** A plan as a page. */

import { type DrawnSection, drawPlan } from "../address-map.ts";
import { isUncertain } from "../memory-map-report.ts";
import {
  describeDecision,
  describeRegion,
  type PlanReport,
  planAdvice,
  planFacts,
  planTotals,
} from "../plan-report.ts";
import { formatPage, type PageSection } from "./page.ts";

/** @param source what the plan is of: a file, a socket, a domain */
export function planPage(report: PlanReport, source: string): string {
  const map = drawPlan(report.plan, report.iovaRanges);
  return formatPage({
    title: `DMA plan of ${source}`,
    facts: [...planFacts(report), planTotals(report)],
    map,
    sections: map.guest.map(describeSection),
    advice: { heading: "In QEMU", lines: planAdvice(report) },
  });
}

/** A section of a plan, as pages tell it. */
export function describeSection({ start, last, kind, decision }: DrawnSection): PageSection {
  const remark = isUncertain(decision) ? "may be a ROM device, which is not mapped" : "";
  return { use: describeDecision(decision), kind, start, last, region: describeRegion(decision), remark };
}
