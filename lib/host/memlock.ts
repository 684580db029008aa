/** How much memory a process may lock (RLIMIT_MEMLOCK), which is what memory mapped for DMA counts as. */

import { join } from "node:path";
import { readFact } from "./readable.ts";

/** The bit of CAP_IPC_LOCK in /proc/self/status, CapEff. */
const CAP_IPC_LOCK = 14n;

/** The known facts about the limit. */
export interface MemlockLimit {
  /** In bytes; undefined: there is none. */
  readonly limit: bigint | undefined;
  /** Has CAP_IPC_LOCK, so that nothing is counted (drivers/iommu/iommufd/pages.c, iopt_alloc_pages()). */
  readonly exempt: boolean;
}

/** The limit of this process; undefined if the machine does not show it. */
export function memlockLimit(root = "/"): MemlockLimit | undefined {
  const soft = field(root, "proc/self/limits", /^Max locked memory\s+(\d+|unlimited)\s/m);
  const capabilities = field(root, "proc/self/status", /^CapEff:\s+([0-9a-f]+)$/m);
  if (soft === undefined || capabilities === undefined) return undefined;
  return {
    limit: soft === "unlimited" ? undefined : BigInt(soft),
    exempt: ((BigInt(`0x${capabilities}`) >> CAP_IPC_LOCK) & 1n) === 1n,
  };
}

function field(root: string, path: string, pattern: RegExp): string | undefined {
  return readFact(join(root, path))?.match(pattern)?.[1];
}
