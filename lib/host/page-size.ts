/** The size of the kernel's pages: 4 KiB on x86, 4, 16 or 64 KiB on Arm. */

import { join } from "node:path";
import { readFileWhole } from "../files.ts";
import { FACT_LIMIT } from "../limits.ts";
import { ifReadable } from "./readable.ts";

/** AT_PAGESZ of getauxval(3). */
const AT_PAGESZ = 6n;

/** The page size of this machine, in bytes; undefined if the machine does not show it: only Linux does. */
export function machinePageSize(root = "/"): number | undefined {
  const bytes = ifReadable(() => readFileWhole(join(root, "proc/self/auxv"), { limit: FACT_LIMIT }));
  if (bytes === undefined) return undefined;
  // Pairs of a type and a value, each a word of this processor. A copy, because the bytes of a Buffer may start anywhere.
  const words = new BigUint64Array(new Uint8Array(bytes).buffer, 0, bytes.length >> 3);
  for (let i = 0; i + 1 < words.length; i += 2) if (words[i] === AT_PAGESZ) return Number(words[i + 1]);
  return undefined;
}
