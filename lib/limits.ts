/**
 * How much is read of what comes from outside: files, standard input, QEMU, recorded trees. What has more is refused, so that no
 * input takes all memory or all time.
 */

import { IommufdError } from "./errors.ts";

/** The most that is read of one input, in bytes; of a QMP connection, all that QEMU sends. */
export const INPUT_LIMIT = 128 << 20;

/** The most that QEMU may send in one line of QMP, in bytes: a flat view of tens of thousands of sections is 10 MiB. */
export const ANSWER_LIMIT = INPUT_LIMIT / 2;

/** The most values, names and elements together, in a JSON document. */
export const VALUE_LIMIT = 1 << 21;

/** The most sections in a memory map: sixteen times as many as VFIO maps (dma_entry_limit), for iommufd has no such limit. */
export const SECTION_LIMIT = 1 << 20;

/** The most address spaces in a memory map, and the most sections in a JSON section list, which is read whole. */
export const LIST_LIMIT = 1 << 17;

/** The error of an input that has more than {@link INPUT_LIMIT}, or than another number of bytes. */
export function tooLong(source: string, limit = INPUT_LIMIT, what = "it"): IommufdError {
  return new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${source}: ${what} has more than ${limit >> 20} MiB, the most that is read`,
  );
}
