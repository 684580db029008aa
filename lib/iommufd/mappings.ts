/**
 * Which memory an address space refers to.
 */

import type { DmaMemory } from "./dma-memory.ts";

interface Mapping {
  readonly last: bigint;
  /** What it refers to; nothing of ours for a descriptor that was handed in. */
  readonly memories: readonly DmaMemory[];
}

/** Mappings that were made at once, and may go at once. */
interface Batch {
  readonly iovas: BigUint64Array;
  readonly lengths: BigUint64Array;
  readonly memory: DmaMemory;
}

/**
 * The mappings of an address space, by IOVA. They hold their memory, so that it is neither closed nor collected while
 * a device can reach it. Memory is retained before the kernel is asked to map it, and let go here.
 *
 * Batches are kept as they came until something else than the whole batch is asked for: thousands of entries cost more
 * than the ioctls.
 */
export class Mappings {
  readonly #mappings = new Map<bigint, Mapping>();
  #batches: Batch[] = [];

  /** Notes a mapping, whose memory is retained already. */
  add(iova: bigint, length: bigint, memories: readonly DmaMemory[]): void {
    this.#mappings.set(iova, { last: iova + length - 1n, memories });
  }

  /** Notes mappings of one memory, which is retained once for each already. The arrays are kept. */
  addBatch(iovas: BigUint64Array, lengths: BigUint64Array, memory: DmaMemory): void {
    if (iovas.length > 0) this.#batches.push({ iovas, lengths, memory });
  }

  /** Lets go of the mappings that are wholly within a range. */
  forget(start: bigint, last: bigint): void {
    this.#unpack();
    const exact = this.#mappings.get(start);
    if (exact?.last === last) {
      this.#drop(start, exact);
      return;
    }
    for (const [iova, mapping] of this.#mappings) {
      if (iova >= start && mapping.last <= last) this.#drop(iova, mapping);
    }
  }

  /** Lets go of the mappings that are wholly within any of the ranges. */
  forgetBatch(iovas: BigUint64Array, lengths: BigUint64Array): void {
    const index = this.#batches.findIndex(
      (batch) => equal(batch.iovas, iovas) && equal(batch.lengths, lengths),
    );
    const [batch] = index < 0 ? [] : this.#batches.splice(index, 1);
    if (batch !== undefined) {
      batch.memory.unretain(batch.iovas.length);
      return;
    }
    for (const [position, iova] of iovas.entries())
      this.forget(iova, iova + (lengths[position] as bigint) - 1n);
  }

  /** The memory that is mapped in a range. */
  memoriesIn(start: bigint, length: bigint): DmaMemory[] {
    this.#unpack();
    const found = new Set<DmaMemory>();
    for (const [iova, { last, memories }] of this.#mappings) {
      if (iova < start + length && last >= start) for (const memory of memories) found.add(memory);
    }
    return [...found];
  }

  /** Makes entries of the batches. */
  #unpack(): void {
    if (this.#batches.length === 0) return;
    for (const { iovas, lengths, memory } of this.#batches) {
      const memories = [memory];
      for (const [position, iova] of iovas.entries()) this.add(iova, lengths[position] as bigint, memories);
    }
    this.#batches = [];
  }

  #drop(iova: bigint, mapping: Mapping): void {
    this.#mappings.delete(iova);
    for (const memory of mapping.memories) memory.unretain();
  }
}

/** Whether two arrays hold the same values. */
function equal(a: BigUint64Array, b: BigUint64Array): boolean {
  const bytes = (array: BigUint64Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return a.length === b.length && Buffer.compare(bytes(a), bytes(b)) === 0;
}
