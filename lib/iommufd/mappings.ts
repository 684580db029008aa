/**
 * Which memory an address space refers to.
 */

import type { DmaMemory } from "./dma-memory.ts";

interface Mapping {
  readonly iova: bigint;
  /** In bytes. */
  readonly length: bigint;
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
  readonly #mappings = new Map<number | bigint, Mapping>();
  #batches: Batch[] = [];

  /** Notes a mapping, whose memory is retained already. */
  add(iova: bigint, length: bigint, memories: readonly DmaMemory[]): void {
    this.#mappings.set(key(iova), { iova, length, memories });
  }

  /** Notes mappings of one memory, which is retained once for each already. The arrays are kept. */
  addBatch(iovas: BigUint64Array, lengths: BigUint64Array, memory: DmaMemory): void {
    if (iovas.length > 0) this.#batches.push({ iovas, lengths, memory });
  }

  /** Lets go of the mappings that are wholly within a range; `length` is in bytes. */
  forget(start: bigint, length: bigint): void {
    this.#unpack();
    const exact = this.#mappings.get(key(start));
    if (exact !== undefined && exact.length === length) {
      this.#drop(exact);
      return;
    }
    const end = start + length;
    for (const mapping of this.#mappings.values()) {
      if (mapping.iova >= start && mapping.iova + mapping.length <= end) this.#drop(mapping);
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
    for (const [position, iova] of iovas.entries()) this.forget(iova, lengths[position] as bigint);
  }

  /** The memory that is mapped in a range. */
  memoriesIn(start: bigint, length: bigint): DmaMemory[] {
    this.#unpack();
    const found = new Set<DmaMemory>();
    for (const mapping of this.#mappings.values()) {
      if (mapping.iova >= start + length || mapping.iova + mapping.length <= start) continue;
      for (const memory of mapping.memories) found.add(memory);
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

  #drop(mapping: Mapping): void {
    this.#mappings.delete(key(mapping.iova));
    for (const memory of mapping.memories) memory.unretain();
  }
}

/** An IOVA as a key: a number is found several times faster, and most fit. */
function key(iova: bigint): number | bigint {
  const number = Number(iova);
  return number <= Number.MAX_SAFE_INTEGER ? number : iova;
}

/** Whether two arrays hold the same values. */
function equal(a: BigUint64Array, b: BigUint64Array): boolean {
  const bytes = (array: BigUint64Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return a.length === b.length && Buffer.compare(bytes(a), bytes(b)) === 0;
}
