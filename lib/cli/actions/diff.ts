/** The action of `iommufd diff`: lists the changes between two plans. */

import { IommufdError } from "../../errors.ts";
import { originOf } from "../../origin.ts";
import { comparePlans, diffDocument, formatDiff } from "../../report/diff-report.ts";
import { type PlanDocument, readPlanDocument } from "../../report/plan-document.ts";
import { EXIT } from "../exit.ts";
import { readInput, sourceName } from "../input.ts";
import { LOOK, printJson, printText } from "../output.ts";

/** Runs `iommufd diff`. */
export async function diff(
  before: string,
  after: string,
  { json = false, failOn }: { json?: boolean; failOn?: string },
): Promise<void> {
  if (before === "-" && after === "-")
    throw new IommufdError("ERR_IOMMUFD_INPUT", "only one of the two plans can come from standard input");
  const result = comparePlans(await read(before), await read(after), originOf(undefined));
  if (json) printJson(diffDocument(result));
  else printText(formatDiff(result, LOOK));
  if (failOn === "change" && result.changes.length > 0) process.exitCode = EXIT.no;
}

async function read(file: string): Promise<PlanDocument> {
  return readPlanDocument(await readInput(file), sourceName(file));
}
