/** Calls that fail because a test wants them to. */

import { errnoOf, type LinuxErrorCode, outOfRange } from "../errors.ts";
import { SYSCALLS, type Syscall } from "./ioctl.ts";
import type { Errno } from "./raw.ts";

interface Failure {
  readonly errno: Errno;
  /** Which of the calls fails: the first, or each n-th. */
  readonly every: number | undefined;
  /** How many have been made since. */
  calls: number;
}

/** The failures, by the name of the ioctl or system call. A call that fails does nothing else. */
export class Failures {
  readonly #failures = new Map<string, Failure>();

  /** The next call fails. */
  failNext(syscall: Syscall, code: LinuxErrorCode): void {
    this.#add(syscall, code, undefined);
  }

  /** Each n-th call fails from now on. */
  failEvery(syscall: Syscall, every: number, code: LinuxErrorCode): void {
    if (!Number.isSafeInteger(every) || every < 1) throw outOfRange("every", "an integer from 1", every);
    this.#add(syscall, code, every);
  }

  /** Nothing fails any more. */
  clear(): void {
    this.#failures.clear();
  }

  /** The error of a call that is made now; undefined: none. */
  take(syscall: string): Errno | undefined {
    const failure = this.#failures.get(syscall);
    if (failure === undefined) return undefined;
    if (failure.every === undefined) this.#failures.delete(syscall);
    else if (++failure.calls % failure.every !== 0) return undefined;
    return failure.errno;
  }

  #add(syscall: string, code: LinuxErrorCode, every: number | undefined): void {
    if (!SYSCALLS.has(syscall)) throw outOfRange("syscall", 'a call such as "IOMMU_IOAS_MAP"', syscall);
    this.#failures.set(syscall, { errno: errnoOf(code), every, calls: 0 });
  }
}
