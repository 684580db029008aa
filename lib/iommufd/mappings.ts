import { AreaList } from "../area-list.ts";
import type { IovaRange } from "../uapi.ts";
import type { DmaMemory } from "./dma-memory.ts";
import type { Access, MappingCalls, Unsure } from "./mapping-calls.ts";

const U64_MAX = (1n << 64n) - 1n;

/** An area of the kernel: what is mapped, and unmapped, as a whole. */
interface Mapping extends IovaRange {
  /** The memory that it refers to; nothing of ours for a descriptor that was handed in. */
  readonly memory: DmaMemory | undefined;
}

/** Mappings that were made at once, and may go at once. */
interface Batch {
  readonly iovas: BigUint64Array;
  readonly lengths: BigUint64Array;
  readonly memory: DmaMemory;
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
  #areas = new AreaList<Mapping>();
  /** They are later than all areas. */
  #batches: Batch[] = [];
  /** Ranges of which the kernel may have unmapped some. */
  #doubts: IovaRange[] = [];

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
    this.#unpack();
    this.#add(iova, length, memory);
  }

  /** Notes mappings of one memory, which is retained once for each already. The arrays are kept. */
  addBatch(iovas: BigUint64Array, lengths: BigUint64Array, memory: DmaMemory): void {
    if (iovas.length > 0) this.#batches.push({ iovas, lengths, memory });
    if (this.#doubts.length > 0) this.#unpack();
  }

  /** Lets go of the mappings that are wholly within a range; `length` is in bytes. */
  forget(iova: bigint, length: bigint): void {
    this.#unpack();
    const last = isEverything(iova, length) ? U64_MAX : lastOf(iova, length);
    // As a rule what is unmapped is what was mapped.
    if (this.#drop(iova, last)) return;
    for (const area of this.#within({ start: iova, last })) this.#drop(area.start, area.last);
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
    for (const { memory } of this.#areas) memory?.unretain();
    this.#batches = [];
    this.#areas = new AreaList();
    this.#doubts = [];
  }

  /**
   * Unmapping a range was refused. The kernel goes from area to area and stops at the one that it refuses, and does not say
   * what it has unmapped before (iopt_unmap_iova_range() of drivers/iommu/iommufd/io_pagetable.c): it is asked.
   */
  doubt(iova: bigint, length: bigint): void {
    this.#unpack();
    const range = unmappedRange(iova, length);
    if (this.#within(range).length === 0) return;
    this.#doubts.push(range);
    this.#calls.unsure(this);
  }

  /** Unmapping many mappings, each as a whole, may have been refused. */
  doubtAll(iovas: BigUint64Array): void {
    this.#unpack();
    for (const iova of iovas) {
      const area = this.#areas.firstOverlapping(iova, iova);
      if (area?.start === iova) this.#doubts.push({ start: iova, last: area.last });
    }
    this.#calls.unsure(this);
  }

  /** Asks the kernel what there still is, with no call under way. */
  findOut(): void {
    const doubts = this.#doubts;
    this.#doubts = [];
    for (const range of doubts) {
      for (const area of this.#within(range))
        if (!this.#isMapped(area.start, area.last - area.start + 1n)) this.#drop(area.start, area.last);
    }
  }

  /** The parts of mappings that a range has, which are what copying it maps. */
  parts(iova: bigint, length: bigint): Mapping[] {
    this.#unpack();
    const { start, last } = rangeOf(iova, length);
    return [...this.#areas.overlapping(start, last)].map((area) => ({
      start: area.start > start ? area.start : start,
      last: area.last < last ? area.last : last,
      memory: area.memory,
    }));
  }

  /** A call maps or copies from a range; undefined: wherever the kernel chooses. */
  access(kind: "maps" | "reads", iova: bigint | undefined, length: bigint): Access {
    if (iova === undefined) return { of: this, kind, start: 0n, last: U64_MAX };
    return { of: this, kind, ...rangeOf(iova, length) };
  }

  /** A call unmaps, or may unmap, a range. */
  unmapAccess(iova: bigint, length: bigint): Access {
    return { of: this, kind: "unmaps", ...unmappedRange(iova, length) };
  }

  /** A call maps or unmaps many ranges: everything from the first to the last address. */
  batchAccess(kind: "maps" | "unmaps", iovas: BigUint64Array, lengths: BigUint64Array): Access {
    let start = U64_MAX;
    let last = 0n;
    for (const [index, iova] of iovas.entries()) {
      const range = rangeOf(iova, lengths[index] as bigint);
      if (range.start < start) start = range.start;
      if (range.last > last) last = range.last;
    }
    return { of: this, kind, start, last };
  }

  #within({ start, last }: IovaRange): Mapping[] {
    return [...this.#areas.overlapping(start, last)].filter(
      (area) => area.start >= start && area.last <= last,
    );
  }

  /** Makes areas of the batches. */
  #unpack(): void {
    if (this.#batches.length === 0) return;
    for (const { iovas, lengths, memory } of this.#batches) {
      for (const [position, iova] of iovas.entries()) this.#add(iova, lengths[position] as bigint, memory);
    }
    this.#batches = [];
  }

  /**
   * The kernel maps nothing twice, so what the books have there is there no more. A call unmapped it that was refused further
   * on, or somebody else who has this iommufd too.
   */
  #add(iova: bigint, length: bigint, memory: DmaMemory | undefined): void {
    const area = { start: iova, last: lastOf(iova, length), memory };
    for (;;) {
      const gone = this.#areas.insert(area);
      if (gone === undefined) break;
      this.#drop(gone.start, gone.last);
    }
  }

  /** Lets go of the area that has exactly this range, if there is one. */
  #drop(start: bigint, last: bigint): boolean {
    const area = this.#areas.remove(start, last);
    area?.memory?.unretain();
    return area !== undefined;
  }
}

function rangeOf(iova: bigint, length: bigint): IovaRange {
  return { start: iova, last: iova + length - 1n };
}

/** The range that a call is to unmap. */
function unmappedRange(iova: bigint, length: bigint): IovaRange {
  return isEverything(iova, length) ? { start: 0n, last: U64_MAX } : rangeOf(iova, length);
}

/** Whether all is to be unmapped: 2^64 - 1 bytes from 0 on are everything, the last byte too. */
function isEverything(iova: bigint, length: bigint): boolean {
  return length === U64_MAX && iova === 0n;
}

/**
 * The last address of a range that the kernel has taken, so that it has 64 bits. V8 adds machine words where the result is
 * truncated to 64 bits, and bigints of any size elsewhere. This is on the path of every mapping.
 */
function lastOf(iova: bigint, length: bigint): bigint {
  return BigInt.asUintN(64, iova + length - 1n);
}

/** Whether two arrays hold the same values. */
function equal(a: BigUint64Array, b: BigUint64Array): boolean {
  const bytes = (array: BigUint64Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return a.length === b.length && Buffer.compare(bytes(a), bytes(b)) === 0;
}
