/** How much memory DMA may pin (RLIMIT_MEMLOCK). */

import { Refusal } from "./refusal.ts";

/**
 * What is pinned, and how much may be. The kernel pins memory where a page table maps it (iopt_area_fill_domains()), and
 * once however often it is mapped; the model counts each mapping.
 */
export class LockedMemory {
  readonly #limit: bigint | undefined;
  #pinned = 0n;

  /** @param limit in bytes; undefined: none, as for root */
  constructor(limit?: bigint) {
    this.#limit = limit;
  }

  /** How much is pinned, in bytes. */
  get pinned(): bigint {
    return this.#pinned;
  }

  /** ENOMEM: it would be more than the limit. */
  charge(bytes: bigint): void {
    if (this.#limit !== undefined && this.#pinned + bytes > this.#limit) throw new Refusal("ENOMEM");
    this.#pinned += bytes;
  }

  release(bytes: bigint): void {
    this.#pinned -= bytes;
  }
}
