/** The input of commands. */

import { createReadStream } from "node:fs";
import { decodeChunks } from "../encoding.ts";
import { IommufdError, isSystemError } from "../errors.ts";
import { INPUT_LIMIT, tooLong } from "../limits.ts";

/** The text about it in the help and the manual. */
export const LIMIT_STATEMENT = `At most ${INPUT_LIMIT >> 20} MiB are read of one input.`;

/** The name of the input in errors. */
export function sourceName(file: string): string {
  return file === "-" ? "standard input" : file;
}

/**
 * Reads a file, or standard input for "-".
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: it cannot be read, or has more than INPUT_LIMIT
 */
export async function readInput(file: string): Promise<string> {
  let text = "";
  for await (const chunk of readChunks(file)) text += chunk;
  return text;
}

/**
 * Reads a file, or standard input for "-", piece by piece.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: it cannot be read, or has more than INPUT_LIMIT
 */
export function readChunks(file: string): AsyncGenerator<string, void> {
  return decodeChunks(readBytes(file));
}

async function* readBytes(file: string): AsyncGenerator<Uint8Array, void> {
  const stream: AsyncIterable<Buffer> = file === "-" ? process.stdin : createReadStream(file);
  let length = 0;
  try {
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > INPUT_LIMIT) throw tooLong(sourceName(file));
      yield chunk;
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    // The rest names the file once more: "ENOENT: no such file or directory, open '…'".
    const [why] = error.message.split(", ");
    throw new IommufdError("ERR_IOMMUFD_INPUT", `cannot read ${sourceName(file)}: ${why}`, { cause: error });
  }
}
