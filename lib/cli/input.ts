/** What commands read. */

import { createReadStream } from "node:fs";
import { InvalidArgumentError } from "commander";
import { IommufdError, isSystemError } from "../errors.ts";

/** What to call the input in errors. */
export function sourceName(file: string): string {
  return file === "-" ? "standard input" : file;
}

/**
 * Reads a file, or standard input for "-".
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: it cannot be read
 */
export async function readInput(file: string): Promise<string> {
  let text = "";
  for await (const chunk of readChunks(file)) text += chunk;
  return text;
}

/**
 * Reads a file, or standard input for "-", piece by piece.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: it cannot be read
 */
export async function* readChunks(file: string): AsyncGenerator<string, void> {
  const stream = file === "-" ? process.stdin : createReadStream(file);
  stream.setEncoding("utf8");
  try {
    for await (const chunk of stream) yield String(chunk);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    // What follows names the file once more: "ENOENT: no such file or directory, open '…'".
    const [why] = error.message.split(", ");
    throw new IommufdError("ERR_IOMMUFD_INPUT", `cannot read ${sourceName(file)}: ${why}`, { cause: error });
  }
}

/** An option that is a register: 64 bits in hexadecimal. */
export function parseRegister(value: string): bigint {
  if (!/^(0x)?[0-9a-f]{1,16}$/i.test(value)) {
    throw new InvalidArgumentError(
      "It must be a hexadecimal number of at most 64 bits, such as 0xd2008c22260286.",
    );
  }
  return BigInt(value.startsWith("0x") || value.startsWith("0X") ? value : `0x${value}`);
}

/** An option that is a size in bytes: 4096, 0x1000, 64K, 2M. */
export function parseSize(value: string): number {
  const match = /^(?<digits>\d+|0x[0-9a-f]+)(?<unit>[KMG]?)$/i.exec(value)?.groups as
    | { digits: string; unit: string }
    | undefined;
  const size =
    match === undefined
      ? Number.NaN
      : Number(match.digits) * 1024 ** " KMG".indexOf(match.unit.toUpperCase() || " ");
  if (!Number.isSafeInteger(size))
    throw new InvalidArgumentError("It must be a size in bytes, such as 4096 or 64K.");
  return size;
}
