/**
 * The findings as labels for a Kubernetes node: a feature file for the local source of Node Feature Discovery, one
 * NAME=VALUE a line. The names become feature.node.kubernetes.io/NAME.
 */

import { type ProbeReport, supportsNesting } from "./probe-report.ts";

/** @param report undefined: this host has no iommufd that could be asked */
export function formatNodeFeatures(report: ProbeReport | undefined): string {
  if (report === undefined) return "iommufd.available=false\n";
  return [
    "iommufd.available=true",
    `iommufd.devices=${report.devices.length}`,
    // One that reports it is enough to keep a guest away, and only all that can nest to attract one. A device that could
    // not be asked is neither.
    `iommufd.erratum-772415=${any(report.devices.map(({ info }) => info?.erratum772415))}`,
    `iommufd.nested-translation=${all(report.devices.map(supportsNesting))}`,
    "",
  ].join("\n");
}

type Answer = boolean | "unknown";

function any(answers: readonly (boolean | undefined)[]): Answer {
  if (answers.includes(true)) return true;
  return answers.length === 0 || answers.includes(undefined) ? "unknown" : false;
}

function all(answers: readonly (boolean | undefined)[]): Answer {
  if (answers.includes(false)) return false;
  return answers.length === 0 || answers.includes(undefined) ? "unknown" : true;
}
