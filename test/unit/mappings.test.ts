/** The books of an address space that somebody else unmaps in too, whoever has the same iommufd. */

import { describe, expect, it } from "vitest";
import type { BackendMemory } from "../../lib/backend/handles.ts";
import { DmaMemory } from "../../lib/iommufd/dma-memory.ts";
import { MappingCalls } from "../../lib/iommufd/mapping-calls.ts";
import { Mappings } from "../../lib/iommufd/mappings.ts";

const PAGE = 4096n;

/** Books, and what enters a mapping in them as a call does that the kernel accepted. */
function books() {
  const mappings = new Mappings(new MappingCalls(), () => true);
  const memory = () => new DmaMemory({} as BackendMemory, 8n * PAGE, PAGE);
  const add = (page: bigint, pages: bigint, of: DmaMemory) => {
    of.retain();
    mappings.add(page * PAGE, pages * PAGE, of);
  };
  const addBatch = (page: bigint, count: number, of: DmaMemory) => {
    of.retain(count);
    const iovas = BigUint64Array.from({ length: count }, (_, index) => (page + BigInt(index)) * PAGE);
    mappings.addBatch(iovas, new BigUint64Array(count).fill(PAGE), of);
  };
  return { mappings, memory, add, addBatch };
}

describe("a mapping that somebody else unmapped", () => {
  it("is let go of when something is mapped anywhere in its place", () => {
    const { memory, add } = books();
    const [old, beside, late] = [memory(), memory(), memory()];
    add(0n, 4n, old);
    add(4n, 1n, beside);
    add(2n, 1n, late);
    expect([old, beside, late].map(({ mappings }) => mappings)).toEqual([0, 1, 1]);
  });

  it("is the earlier one, whether they were made one by one or many at once", () => {
    const { mappings, memory, add, addBatch } = books();
    const [first, batch, last] = [memory(), memory(), memory()];
    add(0n, 1n, first);
    addBatch(0n, 4, batch);
    add(1n, 2n, last);
    expect([first, batch, last].map(({ mappings }) => mappings)).toEqual([0, 2, 1]);
    mappings.forget(0n, 4n * PAGE);
    expect([first, batch, last].map(({ mappings }) => mappings)).toEqual([0, 0, 0]);
  });
});
