import type { IovaRange } from "../../uapi.ts";

/** How much a bit stands for: the smallest page that every IOMMU maps. */
const PAGE_SHIFT = 12n;
/** How many pages one array has, as a power of two. */
const CHUNK_SHIFT = 15n;

/** A set of pages, as bits, of which only the parts that have any take memory. */
export class DirtyPages {
  readonly #chunks = new Map<bigint, Uint8Array>();

  /** Marks the page of an address. */
  add(iova: bigint): void {
    const page = iova >> PAGE_SHIFT;
    let chunk = this.#chunks.get(page >> CHUNK_SHIFT);
    if (chunk === undefined) {
      chunk = new Uint8Array(1 << Number(CHUNK_SHIFT - 3n));
      this.#chunks.set(page >> CHUNK_SHIFT, chunk);
    }
    const bit = Number(page & ((1n << CHUNK_SHIFT) - 1n));
    chunk[bit >> 3] = (chunk[bit >> 3] as number) | (1 << (bit & 7));
  }

  /** Forgets everything. */
  clear(): void {
    this.#chunks.clear();
  }

  /** Forgets the pages of a range. */
  delete(range: IovaRange): void {
    for (const { chunk, bit } of this.#pages(range))
      chunk[bit >> 3] = (chunk[bit >> 3] as number) & ~(1 << (bit & 7));
  }

  /** The pages of a range as the kernel's bitmap: a bit for so many bytes each, the lowest first. */
  bitmap(iova: bigint, length: bigint, pageSize: bigint): Uint8Array {
    const bits = new Uint8Array(Number((length / pageSize + 7n) / 8n));
    const last = iova + length - 1n;
    for (const { start } of this.#pages({ start: iova, last })) {
      const end = start + (1n << PAGE_SHIFT);
      for (let at = start < iova ? iova : start; at < end && at <= last; at += pageSize) {
        const bit = Number((at - iova) / pageSize);
        bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
      }
    }
    return bits;
  }

  /** The pages of a range that are marked. */
  *#pages({ start, last }: IovaRange): Generator<{ chunk: Uint8Array; bit: number; start: bigint }> {
    for (const [index, chunk] of this.#chunks) {
      const base = index << (CHUNK_SHIFT + PAGE_SHIFT);
      const end = base + (1n << (CHUNK_SHIFT + PAGE_SHIFT));
      if (base > last || end <= start) continue;
      const from = start > base ? Number((start - base) >> PAGE_SHIFT) : 0;
      const to = last < end ? Number((last - base) >> PAGE_SHIFT) : (1 << Number(CHUNK_SHIFT)) - 1;
      for (let bit = from; bit <= to; bit++) {
        if (chunk[bit >> 3] === 0) bit |= 7;
        else if ((chunk[bit >> 3] as number) & (1 << (bit & 7)))
          yield { chunk, bit, start: base + (BigInt(bit) << PAGE_SHIFT) };
      }
    }
  }
}
