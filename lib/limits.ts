/**
 * How much is read of what comes from outside: files, standard input, QEMU, recorded trees. Larger input is refused, so
 * that no input takes all memory or all time.
 */

import { IommufdError } from "./errors.ts";

/** The most that is read of one input, in bytes. All that QEMU sends over a QMP connection is one input. */
export const INPUT_LIMIT = 128 << 20;

/**
 * The most that is read of a file of a machine that says one thing, in bytes. /proc and /sys have none as long; logs, lists of
 * interrupts and programs may have up to INPUT_LIMIT.
 */
export const FACT_LIMIT = 32 << 20;

/** The most that is read of a kernel's command line, in bytes; Linux itself takes a few KiB (COMMAND_LINE_SIZE). */
export const COMMAND_LINE_LIMIT = 1 << 20;

/** The most that QEMU may send in one line of QMP, in bytes: a flat view of tens of thousands of sections is 10 MiB. */
export const ANSWER_LIMIT = INPUT_LIMIT / 2;

/** The most values, names and elements together, in a JSON document. */
export const VALUE_LIMIT = 1 << 21;

/** The most sections in a memory map: sixteen times as many as VFIO maps (dma_entry_limit), for iommufd has no such limit. */
export const SECTION_LIMIT = 1 << 20;

/** The most address spaces in a memory map, and the most sections in a JSON section list, which is read whole. */
export const LIST_LIMIT = 1 << 17;

/** The most VT-d units in a kernel log. A machine has dozens, and a log may have many of its boots. */
export const UNIT_LIMIT = 1 << 14;

/** The error of an input that has more than {@link INPUT_LIMIT}, or than another number of bytes. */
export function tooLong(source: string, limit = INPUT_LIMIT, what = "it"): IommufdError {
  return new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${source}: ${what} has more than ${limit >> 20} MiB, the most that is read`,
  );
}
