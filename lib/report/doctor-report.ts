/** What a look at a machine found, for people and as JSON. */

import { styleText } from "node:util";
import type { CheckStatus, HostCheck } from "../host/doctor.ts";
import { formatTable, printable } from "./text.ts";

/** The document `iommufd.doctor/1`. */
export function doctorDocument(checks: readonly HostCheck[]): object {
  return { schema: "iommufd.doctor/1", ready: isReady(checks), checks };
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
    ? "Ready: nothing stands in the way."
    : `Nothing that can be seen stands in the way; ${unseen} of ${checks.length} checks could not be made.`;
}

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
  const fixes = checks.flatMap(({ name, fix }) =>
    fix === null ? [] : [`- ${printable(name)}: ${printable(fix)}`],
  );
  return [table, "", verdict(checks), ...(fixes.length === 0 ? [] : ["", "To do:", ...fixes])].join("\n");
}
