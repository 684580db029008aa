/** The findings about a machine, for people and as JSON. */

import type { CheckStatus, HostCheck } from "../host/check.ts";
import type { Diagnosis } from "../host/doctor.ts";
import { type Colour, type Look, PLAIN } from "./look.ts";
import { formatTable, printable, wrap } from "./text.ts";

/** The document `iommufd.doctor/1`. */
export function doctorDocument({ origin, checks, steps }: Diagnosis): object {
  return {
    schema: "iommufd.doctor/1",
    ...origin,
    ready: readiness(checks),
    checks: checks.map(({ name, status, found, fix }) => ({ name, status, found, fix })),
    plan: steps.map(({ title, commands }) => ({ title, commands })),
  };
}

/** Whether nothing failed. */
export function isReady(checks: readonly HostCheck[]): boolean {
  return checks.every(({ status }) => status !== "fail");
}

/** Unknown does not count as ready, nor as not ready. */
function readiness(checks: readonly HostCheck[]): boolean | null {
  if (!isReady(checks)) return false;
  return checks.some(({ status }) => status === "unknown") ? null : true;
}

function verdict(checks: readonly HostCheck[]): [colour: Colour, text: string] {
  const count = (status: CheckStatus) => checks.filter((check) => check.status === status).length;
  const failed = count("fail");
  if (failed > 0) return ["red", `Not ready: ${failed} of ${checks.length} checks failed.`];
  const unseen = count("unknown");
  return unseen === 0
    ? ["green", "Ready, as far as can be seen without opening a device."]
    : [
        "gray",
        `Nothing that can be seen stands in the way; ${unseen} of ${checks.length} checks could not be made.`,
      ];
}

/** A remark about the limits of a look at a machine. */
const ONLY_PROBE =
  "Only `iommufd probe` opens devices: it shows whether each can be bound, what its IOMMU reports, and whether it may nest.";

const COLOURS: Readonly<Record<CheckStatus, Colour>> = {
  pass: "green",
  warn: "yellow",
  fail: "red",
  unknown: "gray",
};

/** One line a check; the steps of the plan, each with its commands; and how to find out what is not known. */
export function formatDoctor({ checks, steps }: Diagnosis, { width, paint }: Look = PLAIN): string {
  const table = formatTable(
    ["", "check", "found"],
    checks.map(({ status, name, found }) => [
      paint(COLOURS[status], status),
      printable(name),
      printable(found),
    ]),
    width,
  );
  const item = (marker: string, text: string) =>
    wrap(printable(text), width - marker.length).map(
      (line, index) => `${index === 0 ? marker : " ".repeat(marker.length)}${line}`,
    );
  const plan = steps.flatMap(({ title, commands }, index) => [
    ...item(`${index + 1}. `, title),
    // Never wrapped: they are to be pasted.
    ...commands.map((command) => `     ${printable(command)}`),
  ]);
  const unseen = checks
    .filter(({ status }) => status === "unknown")
    .flatMap(({ name, fix }) => item("- ", `${name}: ${fix ?? ""}`));
  const [colour, text] = verdict(checks);
  return [
    table,
    "",
    paint(colour, text),
    ...wrap(ONLY_PROBE, width),
    ...(plan.length === 0 ? [] : ["", "To do, in this order:", ...plan]),
    ...(unseen.length === 0 ? [] : ["", "To find out:", ...unseen]),
  ].join("\n");
}
