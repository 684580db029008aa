/** How the model refuses: an error number on its way to becoming the answer of an ioctl. */

import { errnoOf, IommufdError, type LinuxErrorCode } from "../../errors.ts";
import type { BatchStatus, Errno } from "../raw.ts";

/** Thrown where the kernel would return -errno. */
export class Refusal extends Error {
  readonly code: LinuxErrorCode;

  constructor(code: LinuxErrorCode) {
    super(code);
    this.code = code;
  }
}

/** The error of asking the model for a descriptor, or giving it one. */
export function noDescriptors(): IommufdError {
  return new IommufdError(
    "ERR_IOMMUFD_NO_KERNEL_BACKEND",
    "the software backend has no descriptors to hand in or out; this needs the kernel backend",
  );
}

/** The answer of a call for many things that stopped at one of them. */
export function stoppedAt(done: number, code: LinuxErrorCode): BatchStatus {
  return { done, status: errnoOf(code) };
}

/** The answer of a call: its result, or -errno where the body refuses. */
export function answer<Result>(body: () => Result): Result | Errno {
  try {
    return body();
  } catch (error) {
    if (error instanceof Refusal) return errnoOf(error.code);
    throw error;
  }
}
