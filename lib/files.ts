/** Files that are read whole, whatever stands in their place. */

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { INPUT_LIMIT, tooLong } from "./limits.ts";

/** How much is read at once, in bytes. */
const PIECE = 1 << 16;

/** How much of a file is looked through at once, in bytes. */
const SEARCHED = 1 << 18;

/** How a file is read. */
export interface ReadOptions {
  /**
   * Wait for data that is not there yet, in a FIFO or a terminal. Default: there is nothing (EAGAIN, or an empty file).
   */
  wait?: boolean;
  /** For a file that is longer than {@link INPUT_LIMIT}, its end. Default: it is refused. */
  end?: boolean;
  /** The most that is read, in bytes. Default {@link INPUT_LIMIT}. */
  limit?: number;
}

/**
 * Reads a file.
 *
 * @throws SystemError it cannot be read
 * @throws IommufdError ERR_IOMMUFD_INPUT: it has more than the limit
 */
export function readFileWhole(
  path: string,
  { wait = false, end = false, limit = INPUT_LIMIT }: ReadOptions = {},
): Buffer {
  const file = openSync(path, constants.O_RDONLY | (wait ? 0 : constants.O_NONBLOCK));
  try {
    const { size } = fstatSync(file);
    if (end && size > INPUT_LIMIT) return readEnd(file, size);
    const pieces: Buffer[] = [];
    for (let length = 0; ; ) {
      const piece = Buffer.allocUnsafe(PIECE);
      const read = readSync(file, piece);
      if (read === 0) return Buffer.concat(pieces);
      length += read;
      if (length > limit) throw tooLong(path, limit);
      pieces.push(Buffer.from(piece.subarray(0, read)));
    }
  } finally {
    closeSync(file);
  }
}

/**
 * Looks through a file that need not be kept, piece by piece, until there is nothing more to look for. A piece begins with the end
 * of the one before, so that each text of up to `longest` bytes is whole in one of them.
 *
 * @param look is told a piece, which is overwritten afterwards; true: it has seen enough
 * @throws SystemError it cannot be read
 * @throws IommufdError ERR_IOMMUFD_INPUT: it has more than {@link INPUT_LIMIT}
 */
export function lookThrough(path: string, longest: number, look: (piece: Buffer) => boolean): void {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.allocUnsafe(SEARCHED + longest);
    let kept = 0;
    for (let length = 0; ; ) {
      const read = readSync(file, buffer, kept, SEARCHED, null);
      length += read;
      if (length > INPUT_LIMIT) throw tooLong(path);
      if (read === 0 || look(buffer.subarray(0, kept + read))) return;
      const next = Math.min(longest, kept + read);
      buffer.copyWithin(0, kept + read - next, kept + read);
      kept = next;
    }
  } finally {
    closeSync(file);
  }
}

function readEnd(file: number, size: number): Buffer {
  const bytes = Buffer.alloc(INPUT_LIMIT);
  const read = readSync(file, bytes, 0, INPUT_LIMIT, size - INPUT_LIMIT);
  return bytes.subarray(0, read);
}
