/** Reading what may not be there, or not for this user. */

import { IommufdError } from "../errors.ts";
import { readFileWhole } from "../files.ts";
import { FACT_LIMIT } from "../limits.ts";

/**
 * The result of a read; undefined if there is nothing, or nothing that may be read.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: there is more than is read, so this cannot be a real machine
 */
export function ifReadable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof IommufdError) throw error;
    return undefined;
  }
}

/**
 * The text of a file that says one thing; undefined if there is none, or none that may be read.
 *
 * @param limit the most that is read, in bytes
 * @throws IommufdError ERR_IOMMUFD_INPUT: there is more
 */
export function readFact(path: string, limit = FACT_LIMIT): string | undefined {
  return ifReadable(() => readFileWhole(path, { limit }).toString());
}
