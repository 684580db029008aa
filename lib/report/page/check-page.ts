/** The outcome of trying a plan, as a page. */

import { drawPlan } from "../address-map.ts";
import { type CheckReport, checkAdvice, checkFacts, deviceFacts, explainObstacle } from "../check-report.ts";
import { describeVm } from "../plan-report.ts";
import { checkVerdict } from "../verdict.ts";
import { formatPage } from "./page.ts";
import { describeSection } from "./plan-page.ts";

/** @param source what the plan is of: a file, a socket, a domain */
export function checkPage(report: CheckReport, source: string): string {
  const map = drawPlan(report.plan, report.iovaRanges);
  const obstacles = new Map(report.obstacles.map((obstacle) => [obstacle.mapping.section, obstacle]));
  return formatPage({
    title: `Check of ${source}`,
    origin: report.origin,
    verdict: checkVerdict(report),
    iommu: report.iommu,
    vm: describeVm(report.vm),
    facts: [...deviceFacts(report), ["Devices", [report.devices.join(", ")]], ...checkFacts(report)],
    map,
    sections: map.guest.map((drawn) => {
      const section = describeSection(drawn);
      const obstacle = obstacles.get(drawn.decision.section);
      if (obstacle === undefined) return section;
      const remark = `${obstacle.code}: ${explainObstacle(obstacle)[0]}`;
      return { ...section, kind: "refused", use: `${section.use}: refused`, remark };
    }),
    heading: "What helps",
    advice: checkAdvice(report),
  });
}
