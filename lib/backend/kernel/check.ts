/** Turns answers of the addon into answers of a backend. */

import { systemError } from "../../errors.ts";
import type { Errno } from "../raw.ts";

/** The result of a call, or its errno as a thrown system error. */
export function check<Result>(
  outcome: Result | Errno,
  syscall: string,
  request?: Readonly<Record<string, unknown>>,
): Exclude<Result, Errno> | (Result & number) {
  if (typeof outcome === "number" && outcome < 0) throw systemError(outcome, syscall, request);
  return outcome as Exclude<Result, Errno>;
}
