/** Calls that fail because a test wants them to. */

import type { LinuxErrorCode } from "../../errors.ts";
import { outOfRange } from "../../errors.ts";
import { answer, Refusal } from "./refusal.ts";

interface Failure {
  readonly code: LinuxErrorCode;
  /** Which of the calls fails: the first, or each n-th. */
  readonly every: number | undefined;
  /** How many have been made since. */
  calls: number;
}

/** What fails, by the name of the ioctl or system call. A call that fails does nothing else. */
export class Failures {
  readonly #failures = new Map<string, Failure>();

  /** The next call fails. */
  failNext(syscall: string, code: LinuxErrorCode): void {
    this.#failures.set(syscall, { code, every: undefined, calls: 0 });
  }

  /** Each n-th call fails from now on. */
  failEvery(syscall: string, every: number, code: LinuxErrorCode): void {
    if (!Number.isSafeInteger(every) || every < 1) throw outOfRange("every", "an integer from 1", every);
    this.#failures.set(syscall, { code, every, calls: 0 });
  }

  /** Nothing fails any more. */
  clear(): void {
    this.#failures.clear();
  }

  /** Runs the body of a call, if it is not to fail. */
  answer<Result>(syscall: string, request: Readonly<Record<string, unknown>>, body: () => Result): Result {
    return answer(syscall, request, () => {
      this.#check(syscall);
      return body();
    });
  }

  #check(syscall: string): void {
    const failure = this.#failures.get(syscall);
    if (failure === undefined) return;
    if (failure.every === undefined) this.#failures.delete(syscall);
    else if (++failure.calls % failure.every !== 0) return;
    throw new Refusal(failure.code);
  }
}
