/** The kernel's log, as far as this user may read it. */

import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { isSystemError } from "../errors.ts";
import { readFileWhole } from "../files.ts";
import { INPUT_LIMIT, tooLong } from "../limits.ts";
import { ifReadable } from "./readable.ts";

/** Room for one record of /dev/kmsg; the kernel's longest has less than half of it. */
const RECORD = 16_384;

/** Where distributions have it in a file, with boots before this one. */
const FILES = ["var/log/kern.log", "var/log/messages", "var/log/dmesg"];

/** A log that could be read. */
export interface KernelLog {
  /** Its path, from the root of the tree. */
  readonly source: string;
  readonly text: string;
}

/** The kernel's own log if it may be read (/proc/sys/kernel/dmesg_restrict, CAP_SYSLOG), else that of a file; undefined: none may. */
export function readKernelLog(root: string): KernelLog | undefined {
  const records = ifReadable(() => readRecords(join(root, "dev/kmsg")));
  if (records !== undefined) return { source: "/dev/kmsg", text: records };
  for (const file of FILES) {
    const text = ifReadable(() => readFileWhole(join(root, file), { end: true }).toString());
    if (text !== undefined) return { source: `/${file}`, text };
  }
  return undefined;
}

/**
 * Each read gives one record, until there is none (Documentation/ABI/testing/dev-kmsg); in a recorded tree, a piece of
 * a file.
 */
function readRecords(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.alloc(RECORD);
    const pieces: Buffer[] = [];
    for (let total = 0; ; ) {
      const length = readRecord(file, buffer);
      if (length === 0) return Buffer.concat(pieces).toString();
      if (length === undefined) continue;
      total += length;
      if (total > INPUT_LIMIT) throw tooLong(path);
      pieces.push(Buffer.from(buffer.subarray(0, length)));
    }
  } finally {
    closeSync(file);
  }
}

/** Undefined: records were overwritten meanwhile (EPIPE), and the next read goes on after them; 0: there is no more. */
function readRecord(file: number, buffer: Buffer): number | undefined {
  try {
    return readSync(file, buffer);
  } catch (error) {
    if (isSystemError(error, "EPIPE")) return undefined;
    if (isSystemError(error, "EAGAIN")) return 0;
    throw error;
  }
}
