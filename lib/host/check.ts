/** What a look at one thing of a machine comes to. */

/** How a check ended; "unknown" where the machine does not tell, or not this user. */
export type CheckStatus = "pass" | "warn" | "fail" | "unknown";

/** One check. */
export interface HostCheck {
  /** What was looked at, in a word or two. */
  readonly name: string;
  readonly status: CheckStatus;
  /** What was found. */
  readonly found: string;
  /** What to do; null where nothing is to be done. */
  readonly fix: string | null;
}

/** All is well. */
export function pass(name: string, found: string): HostCheck {
  return { name, status: "pass", found, fix: null };
}

/** It works, and there is something to heed. */
export function warn(name: string, found: string, fix: string): HostCheck {
  return { name, status: "warn", found, fix };
}

/** It stands in the way. */
export function fail(name: string, found: string, fix: string): HostCheck {
  return { name, status: "fail", found, fix };
}

/** @param fix how to find out all the same */
export function unknown(name: string, why: string, fix: string): HostCheck {
  return { name, status: "unknown", found: `cannot be seen: ${why}`, fix };
}
