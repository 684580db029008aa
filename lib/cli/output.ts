/** What commands write: results to standard output, everything about them to standard error. */

import { inspect } from "node:util";
import { printable } from "../report/text.ts";

/** A result for people. */
export function printText(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A result for programs. */
export function printJson(document: object): void {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}

/** One clear line; with `--debug`, the stack too. */
export function printError(error: unknown, debug: boolean): void {
  const text = debug ? inspect(error) : printable(error instanceof Error ? error.message : String(error));
  process.stderr.write(`iommufd: ${text}\n`);
}

/** A remark that is not the result. */
export function printNote(note: string): void {
  process.stderr.write(`iommufd: ${printable(note)}\n`);
}
