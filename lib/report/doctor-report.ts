/** What a look at a machine found, for people and as JSON. */

import { styleText } from "node:util";
import type { CheckStatus, HostCheck } from "../host/check.ts";
import type { Origin } from "../origin.ts";
import { formatTable, printable } from "./text.ts";

/** The document `iommufd.doctor/1`. */
export function doctorDocument(checks: readonly HostCheck[], origin: Origin): object {
  return { schema: "iommufd.doctor/1", ...origin, ready: isReady(checks), checks };
}

/** Whether nothing failed. */
export function isReady(checks: readonly HostCheck[]): boolean {
  return checks.every(({ status }) => status !== "fail");
}

function verdict(checks: readonly HostCheck[]): string {
  const count = (status: CheckStatus) => checks.filter((check) => check.status === status).length;
  const failed = count("fail");
  if (failed > 0) return `Not ready: ${failed} of ${checks.length} checks failed.`;
  const unseen = count("unknown");
  return unseen === 0
    ? "Ready, as far as can be seen without opening a device."
    : `Nothing that can be seen stands in the way; ${unseen} of ${checks.length} checks could not be made.`;
}

/** What no look at a machine can tell. */
const ONLY_PROBE =
  "Only `iommufd probe` opens devices: it tells whether each can be bound, what its IOMMU reports, and whether it may nest.";

const COLOURS = { pass: "green", warn: "yellow", fail: "red", unknown: "gray" } as const;

/**
 * One line a check, and what to do under those that ask for it.
 *
 * @param coloured for a terminal that shows colours
 */
export function formatDoctor(checks: readonly HostCheck[], coloured = false): string {
  const paint = (status: CheckStatus) => (coloured ? styleText(COLOURS[status], status) : status);
  const table = formatTable(
    ["", "check", "found"],
    checks.map(({ status, name, found }) => [paint(status), printable(name), printable(found)]),
  );
  const list = (heading: string, ...statuses: CheckStatus[]) => {
    const lines = statuses
      .flatMap((each) => checks.filter(({ status }) => status === each))
      .flatMap(({ name, fix }) => (fix === null ? [] : [`- ${printable(name)}: ${printable(fix)}`]));
    return lines.length === 0 ? [] : ["", heading, ...lines];
  };
  return [
    table,
    "",
    verdict(checks),
    ONLY_PROBE,
    ...list("To do:", "fail", "warn"),
    ...list("To find out:", "unknown"),
  ].join("\n");
}
