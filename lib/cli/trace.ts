/** `--trace`: every ioctl on standard error, one a line, as strace would print it. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IoctlTrace } from "../backend/wrapper.ts";
import { isSystemError } from "../errors.ts";
import { formatAddress } from "../report/text.ts";

const CHANNELS = ["tracing:iommufd:ioctl:end", "tracing:iommufd:ioctl:asyncEnd"];

/** Prints ioctls until it is disposed of. */
export function traceIoctls(): Disposable {
  const print = (message: unknown): void => {
    const trace = message as IoctlTrace;
    // The `end` of an asynchronous call comes before its outcome, which `asyncEnd` has.
    if ("result" in trace || "error" in trace) process.stderr.write(`${formatTrace(trace)}\n`);
  };
  for (const channel of CHANNELS) subscribe(channel, print);
  return {
    [Symbol.dispose]() {
      for (const channel of CHANNELS) unsubscribe(channel, print);
    },
  };
}

/** One ioctl as a line: `IOMMU_IOAS_MAP(ioasId=2, flags=7, length=0xc0000, iova=0x0) = 0x0`. */
function formatTrace({ syscall, arguments: values, result, error }: IoctlTrace): string {
  const outcome =
    error === undefined ? formatValue(result) : isSystemError(error) ? `-1 ${error.code}` : String(error);
  return `${syscall}(${values.map(formatValue).filter(Boolean).join(", ")})${outcome === "" ? "" : ` = ${outcome}`}`;
}

/** Numbers and addresses, also the ones in structures. Values that do not fit into a word are left out. */
function formatValue(value: unknown): string {
  if (typeof value === "bigint") return formatAddress(value);
  if (typeof value === "number" || typeof value === "string") return String(value);
  if (Array.isArray(value)) return `[${value.map((each) => `{${formatValue(each)}}`).join(", ")}]`;
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return "";
  return Object.entries(value)
    .map(([name, each]) => [name, formatValue(each)] as const)
    .filter(([, text]) => text !== "")
    .map(([name, text]) => `${name}=${text}`)
    .join(", ");
}
