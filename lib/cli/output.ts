/** What commands write: results to standard output, everything about them to standard error. */

import { inspect } from "node:util";
import { printable } from "../report/text.ts";

/** How wide what is drawn may be, in characters: as the terminal, within reason. */
export const TERMINAL_WIDTH = Math.min(Math.max(process.stdout.columns ?? 80, 40), 120);

/** Whether standard output is a terminal that shows colours, and nobody said otherwise (NO_COLOR). */
export const HAS_COLOURS = process.stdout.isTTY === true && process.stdout.hasColors();

/** A result for people. */
export function printText(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A result for programs. */
export function printJson(document: object): void {
  process.stdout.write(jsonText(document));
}

/** A document as it is printed. */
export function jsonText(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`;
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
