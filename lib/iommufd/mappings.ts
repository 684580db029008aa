import type { DmaMemory } from "./dma-memory.ts";
import type { Access, MappingCalls, Unsure } from "./mapping-calls.ts";

const SPACE_END = 1n << 64n;

/** An area of the kernel: what is mapped, and unmapped, as a whole. */
interface Mapping {
  readonly iova: bigint;
  /** In bytes. */
  readonly length: bigint;
  /** The memory that it refers to; nothing of ours for a descriptor that was handed in. */
  readonly memory: DmaMemory | undefined;
}

/** Mappings that were made at once, and may go at once. */
interface Batch {
  readonly iovas: BigUint64Array;
  readonly lengths: BigUint64Array;
  readonly memory: DmaMemory;
}

interface Range {
  readonly start: bigint;
  /** The first address behind it. */
  readonly end: bigint;
}

/**
 * The mappings of an address space, by IOVA: the areas that the kernel has. They hold their memory, so that it is neither
 * closed nor collected while a device can reach it. Memory is retained before the kernel is asked to map it, and let go
 * here. When that is, {@link MappingCalls} decides.
 *
 * Batches are kept as they came until something else than the whole batch is asked for: thousands of entries cost more
 * than the ioctls.
 */
export class Mappings implements Unsure {
  readonly #calls: MappingCalls;
  readonly #isMapped: (iova: bigint, length: bigint) => boolean;
  readonly #mappings = new Map<number | bigint, Mapping>();
  #batches: Batch[] = [];
  /** Ranges of which the kernel may have unmapped some. */
  #doubts: Range[] = [];

  /**
   * @param calls called for doubts
   * @param isMapped asks the kernel
   */
  constructor(calls: MappingCalls, isMapped: (iova: bigint, length: bigint) => boolean) {
    this.#calls = calls;
    this.#isMapped = isMapped;
  }

  /** Notes a mapping, whose memory is retained already. */
  add(iova: bigint, length: bigint, memory: DmaMemory | undefined): void {
    if (this.#doubts.length > 0) {
      // The kernel maps nothing twice: what was there is there no more.
      for (const gone of this.#overlapping(rangeOf(iova, length))) this.#drop(gone);
    }
    const at = key(iova);
    const gone = this.#mappings.get(at);
    // Unmapped by somebody else who has this iommufd too.
    if (gone !== undefined) this.#drop(gone);
    this.#mappings.set(at, { iova, length, memory });
  }

  /** Notes mappings of one memory, which is retained once for each already. The arrays are kept. */
  addBatch(iovas: BigUint64Array, lengths: BigUint64Array, memory: DmaMemory): void {
    if (iovas.length > 0) this.#batches.push({ iovas, lengths, memory });
    if (this.#doubts.length > 0) this.#unpack();
  }

  /** Lets go of the mappings that are wholly within a range; `length` is in bytes. */
  forget(start: bigint, length: bigint): void {
    this.#unpack();
    const at = key(start);
    const exact = this.#mappings.get(at);
    if (exact !== undefined && exact.length === length) {
      this.#drop(exact, at);
      return;
    }
    for (const mapping of this.#within(unmappedRange(start, length))) this.#drop(mapping);
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

  /** Lets go of all: the address space is gone. */
  clear(): void {
    for (const { iovas, memory } of this.#batches) memory.unretain(iovas.length);
    for (const { memory } of this.#mappings.values()) memory?.unretain();
    this.#batches = [];
    this.#mappings.clear();
    this.#doubts = [];
  }

  /**
   * Unmapping a range was refused. The kernel goes from area to area and stops at the one that it refuses, and does not say
   * what it has unmapped before (iopt_unmap_iova_range() of drivers/iommu/iommufd/io_pagetable.c): it is asked.
   */
  doubt(start: bigint, length: bigint): void {
    this.#unpack();
    const range = unmappedRange(start, length);
    if (this.#within(range).length === 0) return;
    this.#doubts.push(range);
    this.#calls.unsure(this);
  }

  /** Unmapping many mappings, each as a whole, may have been refused. */
  doubtAll(iovas: BigUint64Array): void {
    this.#unpack();
    for (const iova of iovas) {
      const mapping = this.#mappings.get(key(iova));
      if (mapping !== undefined) this.#doubts.push(rangeOf(iova, mapping.length));
    }
    this.#calls.unsure(this);
  }

  /** Asks the kernel what there still is, with no call under way. */
  findOut(): void {
    const doubts = this.#doubts;
    this.#doubts = [];
    for (const range of doubts) {
      const whole = this.#mappings.get(key(range.start));
      const exact = whole !== undefined && whole.iova + whole.length === range.end;
      for (const mapping of exact ? [whole] : this.#within(range))
        if (!this.#isMapped(mapping.iova, mapping.length)) this.#drop(mapping);
    }
  }

  /** The parts of mappings that a range has, which are what copying it maps. */
  parts(start: bigint, length: bigint): Mapping[] {
    this.#unpack();
    const range = rangeOf(start, length);
    return this.#overlapping(range).map(({ iova, length: whole, memory }) => {
      const from = iova > range.start ? iova : range.start;
      const to = iova + whole < range.end ? iova + whole : range.end;
      return { iova: from, length: to - from, memory };
    });
  }

  /** A call maps or copies from a range; undefined: wherever the kernel chooses. */
  access(kind: "maps" | "reads", iova: bigint | undefined, length: bigint): Access {
    if (iova === undefined) return { of: this, kind, start: 0n, end: SPACE_END };
    return { of: this, kind, ...rangeOf(iova, length) };
  }

  /** A call unmaps, or may unmap, a range. */
  unmapAccess(iova: bigint, length: bigint): Access {
    return { of: this, kind: "unmaps", ...unmappedRange(iova, length) };
  }

  /** A call maps or unmaps many ranges: everything from the first to the last address. */
  batchAccess(kind: "maps" | "unmaps", iovas: BigUint64Array, lengths: BigUint64Array): Access {
    let start = SPACE_END;
    let end = 0n;
    for (const [index, iova] of iovas.entries()) {
      const range = rangeOf(iova, lengths[index] as bigint);
      if (range.start < start) start = range.start;
      if (range.end > end) end = range.end;
    }
    return { of: this, kind, start, end };
  }

  #within({ start, end }: Range): Mapping[] {
    const found: Mapping[] = [];
    for (const mapping of this.#mappings.values())
      if (mapping.iova >= start && mapping.iova + mapping.length <= end) found.push(mapping);
    return found;
  }

  #overlapping({ start, end }: Range): Mapping[] {
    const found: Mapping[] = [];
    for (const mapping of this.#mappings.values())
      if (mapping.iova < end && mapping.iova + mapping.length > start) found.push(mapping);
    return found;
  }

  /** Makes entries of the batches. */
  #unpack(): void {
    if (this.#batches.length === 0) return;
    for (const { iovas, lengths, memory } of this.#batches) {
      for (const [position, iova] of iovas.entries()) this.add(iova, lengths[position] as bigint, memory);
    }
    this.#batches = [];
  }

  #drop(mapping: Mapping, at = key(mapping.iova)): void {
    this.#mappings.delete(at);
    mapping.memory?.unretain();
  }
}

function rangeOf(iova: bigint, length: bigint): Range {
  return { start: iova, end: iova + length };
}

/** The range to unmap: 2^64 - 1 bytes from 0 on are everything, the last byte too. */
function unmappedRange(iova: bigint, length: bigint): Range {
  return iova === 0n && length === SPACE_END - 1n ? { start: 0n, end: SPACE_END } : rangeOf(iova, length);
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
