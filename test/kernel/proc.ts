/** The kernel's figures about memory: /proc/meminfo, and /proc/self/status (proc(5)). */

import { readFileSync } from "node:fs";

/** A figure of the machine: in KiB, as "MemAvailable", or in pages, as "HugePages_Free". */
export function machineFigure(name: string): number {
  return read("/proc/meminfo", name);
}

/** A figure of this process, in KiB: "VmPin", what it has pinned for DMA. */
export function processFigure(name: string): number {
  return read("/proc/self/status", name);
}

function read(file: string, name: string): number {
  const [, figure] = new RegExp(`^${name}:\\s+(\\d+)( kB)?$`, "m").exec(readFileSync(file, "utf8")) ?? [];
  if (figure === undefined) throw new Error(`${file} has no ${name}`);
  return Number(figure);
}
