/** Reading what may not be there, or not for this user. */

import { IommufdError } from "../errors.ts";

/**
 * The result of a read; undefined if there is nothing, or nothing that may be read.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: there is more than INPUT_LIMIT, so this cannot be a real machine
 */
export function ifReadable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof IommufdError) throw error;
    return undefined;
  }
}
