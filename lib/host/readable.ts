/** Reading what may not be there, or not for this user. */

/** What a read gives; undefined where there is nothing, or nothing that may be read. */
export function ifReadable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
