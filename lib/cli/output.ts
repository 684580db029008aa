/** What commands write: results to standard output, everything about them to standard error. */

import { renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
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

/**
 * Writes a file, whole or not at all: under another name first, hidden from those who read all of a directory (the
 * collectors of node_exporter and of Node Feature Discovery), and renamed when it is complete.
 *
 * @throws Error it cannot be written, and why
 */
export function writeWhole(file: string, content: string): void {
  const unfinished = join(dirname(file), `.${basename(file)}.${process.pid}`);
  try {
    writeFileSync(unfinished, content, { flush: true });
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    // The rest of the message names the unfinished file: "ENOENT: no such file or directory, open '…'".
    const [why] = (error as Error).message.split(", ");
    throw new Error(`cannot write ${file}: ${why}`, { cause: error });
  }
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
