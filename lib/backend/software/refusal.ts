/** How the model refuses: an error number on its way to becoming the answer of an ioctl. */

import { IommufdError, type LinuxErrorCode, systemError } from "../../errors.ts";

/** Thrown where the kernel would return -errno. */
export class Refusal extends Error {
  readonly code: LinuxErrorCode;

  constructor(code: LinuxErrorCode) {
    super(code);
    this.code = code;
  }
}

/** What asking the model for a descriptor, or giving it one, throws. */
export function noDescriptors(): IommufdError {
  return new IommufdError(
    "ERR_IOMMUFD_NO_KERNEL_BACKEND",
    "the software backend has no descriptors to hand in or out; this needs the kernel backend",
  );
}

/** Runs the body of an ioctl; a refusal becomes the system error that a caller sees. */
export function answer<Result>(
  syscall: string,
  request: Readonly<Record<string, unknown>>,
  body: () => Result,
): Result {
  try {
    return body();
  } catch (error) {
    if (error instanceof Refusal) throw systemError(error.code, syscall, request);
    throw error;
  }
}
