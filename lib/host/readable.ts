/** Reading what may not be there, or not for this user. */

import { IommufdError } from "../errors.ts";

/**
 * What a read gives; undefined where there is nothing, or nothing that may be read.
 *
 * @throws IommufdError ERR_IOMMUFD_INPUT: there is more than INPUT_LIMIT, so that this is no such machine
 */
export function ifReadable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof IommufdError) throw error;
    return undefined;
  }
}
