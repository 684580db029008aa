/** A load to measure with: random reads, so many at a time. */

import { performance } from "node:perf_hooks";
import type { Controller } from "./controller.ts";
import type { Namespace } from "./namespace.ts";

/** The measurements. */
export interface Measurement {
  readonly reads: number;
  readonly seconds: number;
  /** Reads a second. */
  readonly iops: number;
}

/**
 * Reads at random places, and begins another read whenever one ends.
 *
 * @param bytes of one read, a multiple of the block size
 * @param depth how many are under way at once
 */
export async function randomReads(
  controller: Controller,
  namespace: Namespace,
  { bytes = 4096, depth, seconds }: { bytes?: number; depth: number; seconds: number },
): Promise<Measurement> {
  const blocks = bytes / namespace.blockSize;
  const places = Math.floor(namespace.blocks / blocks);
  if (!Number.isInteger(blocks) || places === 0)
    throw new RangeError(
      `${bytes} bytes are no whole number of blocks of namespace ${namespace.id}, or too many`,
    );
  const buffer = await controller.allocate(depth * bytes);
  let reads = 0;
  let ended = false;
  const worker = async (slot: number) => {
    while (!ended) {
      const first = Math.floor(Math.random() * places) * blocks;
      await namespace.readBlocks(first, blocks, buffer, slot * bytes);
      reads++;
    }
  };
  const start = performance.now();
  // A clock that is asked for each read would be part of what is measured.
  const timer = setTimeout(() => {
    ended = true;
  }, seconds * 1000);
  const outcomes = await Promise.allSettled(Array.from({ length: depth }, (_, slot) => worker(slot)));
  const took = (performance.now() - start) / 1000;
  clearTimeout(timer);
  buffer.close();
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return { reads, seconds: took, iops: reads / took };
}
