/**
 * The errors of this library, in three kinds:
 *
 * - A wrong argument is a `TypeError` (`ERR_INVALID_ARG_TYPE`; `ERR_INVALID_ARG_VALUE`: an option that there is not) or
 *   `RangeError` (`ERR_OUT_OF_RANGE`) that names the argument and what was passed, as in Node.js.
 * - A call that the kernel (or the model of it) refused is a {@link SystemError}, as in `node:fs`.
 * - Input that cannot be read, a backend that is not there, an object used after close: an `Error` with a
 *   `code` that starts with `ERR_IOMMUFD_`, see {@link IommufdError}.
 */

import { constants } from "node:os";
import { inspect } from "node:util";

/**
 * Linux's numbers and meanings of the errors that iommufd and VFIO answer with (include/uapi/asm-generic/errno*.h).
 * The software backend uses them on every platform, so that code tested on a laptop sees what Linux would say.
 */
const LINUX_ERRORS = {
  EPERM: [1, "operation not permitted"],
  ENOENT: [2, "no such object"],
  EINTR: [4, "interrupted"],
  EIO: [5, "input/output error"],
  ENXIO: [6, "no such device or address"],
  E2BIG: [7, "structure is larger than the kernel knows"],
  EBADF: [9, "bad file descriptor"],
  EAGAIN: [11, "resource temporarily unavailable"],
  ENOMEM: [12, "out of memory, or the limit on locked memory is reached"],
  EACCES: [13, "permission denied"],
  EFAULT: [14, "memory cannot be used for DMA"],
  EBUSY: [16, "object is in use"],
  EEXIST: [17, "already exists"],
  ENODEV: [19, "no such device"],
  EINVAL: [22, "invalid argument"],
  EMFILE: [24, "too many open files"],
  ENOTTY: [25, "the kernel does not know this ioctl"],
  ENOSPC: [28, "no space left"],
  EPIPE: [32, "the other end has closed"],
  ERANGE: [34, "out of range"],
  EMSGSIZE: [90, "message too long"],
  EOPNOTSUPP: [95, "not supported"],
  EADDRINUSE: [98, "address in use"],
  EOVERFLOW: [75, "value too large"],
  ECONNRESET: [104, "the other end has closed"],
  ECONNREFUSED: [111, "nobody listens"],
} as const satisfies Record<string, readonly [errno: number, message: string]>;

/** The name of a Linux error that the model of the kernel can answer with. */
export type LinuxErrorCode = keyof typeof LINUX_ERRORS;

/**
 * Linux's number of an error, negative as everywhere in Node.js.
 *
 * @throws RangeError ERR_OUT_OF_RANGE: there is none of that name
 */
export function errnoOf(code: LinuxErrorCode): number {
  if (!Object.hasOwn(LINUX_ERRORS, code)) throw outOfRange("code", 'a Linux error such as "ENOMEM"', code);
  return -LINUX_ERRORS[code][0];
}

const CODE_BY_ERRNO = new Map<number, string>([
  ...Object.entries(constants.errno).map(([code, errno]) => [errno, code] as const),
  // Last, so that of two names for one number ours wins: EOPNOTSUPP, not ENOTSUP; EAGAIN, not EWOULDBLOCK.
  ...Object.entries(LINUX_ERRORS).map(([code, [errno]]) => [errno, code] as const),
]);

/**
 * A call that the kernel, or the model of it, refused. The same shape as the errors of `node:fs`.
 */
export interface SystemError extends NodeJS.ErrnoException {
  /** Symbolic name: "EINVAL". */
  code: string;
  /** Linux's number, negative as everywhere in Node.js: -22. */
  errno: number;
  /** The ioctl or system call: "IOMMU_IOAS_MAP", "open". */
  syscall: string;
  /** The arguments of the call, by name: ids as numbers, addresses and lengths as bigints. */
  request: Readonly<Record<string, unknown>>;
}

/**
 * Makes a {@link SystemError}.
 *
 * @param error the name, or a positive or negative Linux error number
 * @param syscall the ioctl or system call that failed
 * @param request what was asked
 */
export function systemError(
  error: LinuxErrorCode | number,
  syscall: string,
  request: Readonly<Record<string, unknown>> = {},
): SystemError {
  const errno = typeof error === "number" ? -Math.abs(error) : errnoOf(error);
  const code = CODE_BY_ERRNO.get(-errno) ?? `E${-errno}`;
  const meaning = (LINUX_ERRORS as Record<string, readonly [number, string]>)[code]?.[1] ?? "unknown error";
  const asked = Object.entries(request)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${formatValue(value)}`)
    .join("");
  return Object.assign(new Error(`${code}: ${meaning}, ${syscall}${asked}`), {
    code,
    errno,
    syscall,
    request,
  });
}

/**
 * A system error with what it means, behind what was asked. Code, errno and request stay as they are.
 *
 * @param meaning undefined: the error as it is
 */
export function explained(error: SystemError, meaning: string | undefined): SystemError {
  if (meaning === undefined) return error;
  const { code, errno, syscall, request } = error;
  const message = `${error.message}: ${meaning}`;
  return Object.assign(new Error(message, { cause: error }), { code, errno, syscall, request });
}

/** Whether a caught value is a {@link SystemError}, and if codes are given, one of those. */
export function isSystemError(error: unknown, ...codes: string[]): error is SystemError {
  return (
    error instanceof Error &&
    "errno" in error &&
    "syscall" in error &&
    "code" in error &&
    (codes.length === 0 || codes.includes(String(error.code)))
  );
}

/** Codes of {@link IommufdError}. */
export type IommufdErrorCode =
  /** An object was used after it, or what it belongs to, was closed. */
  | "ERR_IOMMUFD_CLOSED"
  /** The kernel backend was asked for and cannot be used here; the message says why. */
  | "ERR_IOMMUFD_NO_KERNEL_BACKEND"
  /** A device cannot be found, or is not bound to vfio-pci. */
  | "ERR_IOMMUFD_NO_DEVICE"
  /** Memory cannot be closed while mappings refer to it. */
  | "ERR_IOMMUFD_MEMORY_IN_USE"
  /** A region of a device cannot be mapped while its memory space is turned off. */
  | "ERR_IOMMUFD_MEMORY_SPACE_OFF"
  /** A text, JSON document or profile that cannot be read; the message says where. */
  | "ERR_IOMMUFD_INPUT"
  /** A running QEMU cannot be asked; the message says why. */
  | "ERR_IOMMUFD_QEMU"
  /** The software backend's IOMMU stopped an access of a modelled device. */
  | "ERR_IOMMUFD_DMA_FAULT"
  /** A plan could not be applied; all mappings made for it were unmapped again. */
  | "ERR_IOMMUFD_APPLY";

/** An error of this library itself, as opposed to one that the kernel answered with. */
export class IommufdError extends Error {
  /** The kind of error. */
  readonly code: IommufdErrorCode;

  /** @internal */
  constructor(code: IommufdErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "IommufdError";
    this.code = code;
  }
}

/** A `TypeError` for an argument of the wrong type. */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  return Object.assign(new TypeError(`${name} must be ${expected}, received ${describe(value)}`), {
    code: "ERR_INVALID_ARG_TYPE",
  });
}

/** A `RangeError` for an argument of the right type with a value that cannot be. */
export function outOfRange(name: string, expected: string, value: unknown): RangeError {
  return Object.assign(new RangeError(`${name} must be ${expected}, received ${describe(value)}`), {
    code: "ERR_OUT_OF_RANGE",
  });
}

/** A `TypeError` for an option that there is not; it names those that there are, and the one that was probably meant. */
export function unknownOption(option: string, known: readonly string[]): TypeError {
  const meant = known.find((each) => isNearMiss(each.toLowerCase(), option.toLowerCase()));
  const hint = meant === undefined ? "" : ` (did you mean "${meant}"?)`;
  return Object.assign(new TypeError(`no option ${describe(option)}${hint}; there are ${known.join(", ")}`), {
    code: "ERR_INVALID_ARG_VALUE",
  });
}

/** Whether two words are alike but for two letters in one place. */
function isNearMiss(one: string, other: string): boolean {
  const shortest = Math.min(one.length, other.length);
  let start = 0;
  while (start < shortest && one[start] === other[start]) start++;
  let end = 0;
  while (end < shortest - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  return Math.max(one.length, other.length) - start - end <= 2;
}

/** Addresses and lengths are read in hexadecimal, ids in decimal. */
function formatValue(value: unknown): string {
  return typeof value === "bigint" ? `0x${value.toString(16)}` : String(value);
}

function describe(value: unknown): string {
  if (typeof value === "bigint") return value < 0n ? String(value) : formatValue(value);
  return inspect(value, { depth: 0, maxStringLength: 60, breakLength: Number.POSITIVE_INFINITY });
}
