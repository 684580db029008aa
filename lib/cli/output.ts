/** The output of commands: results to standard output, everything about them to standard error. */

import { once } from "node:events";
import { WriteStream } from "node:tty";
import { inspect, styleText } from "node:util";
import { type Look, PLAIN } from "../report/look.ts";
import { printable } from "../report/text.ts";

/**
 * Whether a stream shows colours: by NO_COLOR, and by FORCE_COLOR, which has the last word. As `styleText` of later Node.js
 * decides with `validateStream`.
 */
export function hasColours(stream: NodeJS.WriteStream): boolean {
  const { FORCE_COLOR } = process.env;
  // The environment alone, for Node.js warns where NO_COLOR is set too.
  if (FORCE_COLOR !== undefined) return WriteStream.prototype.getColorDepth({ FORCE_COLOR }) > 1;
  return stream.isTTY === true && stream.hasColors();
}

function paintFor(stream: NodeJS.WriteStream): Look["paint"] {
  // Else later Node.js looks at standard output, whatever this is for.
  const options = { validateStream: false };
  return hasColours(stream) ? (colour, text) => styleText(colour, text, options) : PLAIN.paint;
}

/** How results look on standard output: as wide as the terminal, within reason. */
export const LOOK: Look = {
  width: Math.min(Math.max(process.stdout.columns ?? PLAIN.width, 40), PLAIN.width),
  paint: paintFor(process.stdout),
};

const paintError = paintFor(process.stderr);

/** A result for people. */
export function printText(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * The same of one that comes in pieces, no faster than somebody takes them: so few of them are there at a time. The rest is
 * not made where nobody takes it; errors of standard output are main.ts's.
 */
export async function printPieces(pieces: Iterable<string>): Promise<void> {
  const { stdout } = process;
  for (const piece of pieces) {
    const isTaken = stdout.write(piece);
    if (stdout.errored) return;
    if (isTaken) continue;
    try {
      await once(stdout, "drain");
    } catch {
      return;
    }
  }
  process.stdout.write("\n");
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
  process.stderr.write(`${paintError("red", "iommufd:")} ${text}\n`);
}

/** A remark that is not the result. */
export function printNote(note: string): void {
  process.stderr.write(`iommufd: ${printable(note)}\n`);
}
