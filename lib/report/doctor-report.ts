/** What a look at a machine found, for people and as JSON. */

import { styleText } from "node:util";
import type { CheckStatus, HostCheck } from "../host/check.ts";
import type { Diagnosis } from "../host/doctor.ts";
import { formatTable, printable } from "./text.ts";

/** The document `iommufd.doctor/1`. */
export function doctorDocument({ origin, checks, steps }: Diagnosis): object {
  return {
    schema: "iommufd.doctor/1",
    ...origin,
    ready: isReady(checks),
    checks: checks.map(({ name, status, found, fix }) => ({ name, status, found, fix })),
    plan: steps.map(({ title, commands }) => ({ title, commands })),
  };
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
 * One line a check; the steps of the plan, each with its commands; and how to find out what is not known.
 *
 * @param coloured for a terminal that shows colours
 */
export function formatDoctor({ checks, steps }: Diagnosis, coloured = false): string {
  const paint = (status: CheckStatus) => (coloured ? styleText(COLOURS[status], status) : status);
  const table = formatTable(
    ["", "check", "found"],
    checks.map(({ status, name, found }) => [paint(status), printable(name), printable(found)]),
  );
  const plan = steps.flatMap(({ title, commands }, index) => [
    `${index + 1}. ${printable(title)}`,
    ...commands.map((command) => `     ${printable(command)}`),
  ]);
  const unseen = checks
    .filter(({ status }) => status === "unknown")
    .map(({ name, fix }) => `- ${printable(name)}: ${printable(fix ?? "")}`);
  return [
    table,
    "",
    verdict(checks),
    ONLY_PROBE,
    ...(plan.length === 0 ? [] : ["", "To do, in this order:", ...plan]),
    ...(unseen.length === 0 ? [] : ["", "To find out:", ...unseen]),
  ].join("\n");
}
