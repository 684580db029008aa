/** Stage 1 of a modelled SMMUv3, by itself: what edu cannot reach on the machine. test/conformance/smmuv3-stage-1.test.ts has the rest. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Smmuv3Stage1 } from "../../lib/backend/software/iommus/smmuv3-stage-1.ts";
import type { GuestMemory } from "../../lib/backend/software/iommus/stage-1.ts";
import { loadProfile } from "../../lib/backend/software/profile.ts";

const registers = (() => {
  const hwInfo = loadProfile("qemu-smmuv3").iommus["iommu0"]?.hwInfo;
  if (hwInfo?.type !== "arm-smmuv3") throw new Error("no SMMUv3");
  return hwInfo.registers;
})();

/** Guest memory that has a few double words; all others are zero. */
class Words implements GuestMemory {
  readonly words = new Map<bigint, bigint>();

  read(address: bigint): bigint {
    return this.words.get(address) ?? 0n;
  }

  mark(): never {
    throw new Error("an SMMU without HTTU sets no flags");
  }
}

const CONTEXT = 0x1_0000n;
const TABLES = 0x10_0000n;
const AF = 1n << 10n;
/** By granule: CD.TG0, CD.TG1. */
const TG = { 12: [0n, 2n], 14: [2n, 1n], 16: [1n, 3n] } as const;

interface Case {
  granule: 12 | 14 | 16;
  /** T0SZ or T1SZ. */
  size: number;
  half: 0 | 1;
  /** The level of the entry that maps. */
  level: number;
  iova: bigint;
  page: bigint;
}

const ones = (bits: number) => (1n << BigInt(bits)) - 1n;
const shiftOf = (granule: number, level: number) => granule + (3 - level) * (granule - 3);

const cases: fc.Arbitrary<Case> = fc
  .record({
    granule: fc.constantFrom(12 as const, 14 as const, 16 as const),
    size: fc.integer({ min: 16, max: 39 }),
    half: fc.constantFrom(0 as const, 1 as const),
    block: fc.boolean(),
    low: fc.bigInt({ min: 0n, max: ones(48) }),
    page: fc.bigInt({ min: 0n, max: ones(44) }),
  })
  .map(({ granule, size, half, block, low, page }) => {
    const inputBits = 64 - size;
    const level = block && inputBits > shiftOf(granule, 2) ? 2 : 3;
    const iova = (low & ones(inputBits)) | (half === 1 ? ones(64) & ~ones(inputBits) : 0n);
    return { granule, size, half, level, iova, page: page & ~ones(shiftOf(granule, level)) };
  });

/** Writes a context and the tables that lead to one page. */
function tablesFor({ granule, size, half, level, iova, page }: Case, flags = AF): Words {
  const memory = new Words();
  const at = BigInt(half * 16);
  const disabled = half === 0 ? 1n << 30n : 1n << 14n;
  const common = (1n << 31n) | (4n << 32n) | (1n << 41n) | (3n << 45n) | disabled;
  const cd = common | (BigInt(size) << at) | (TG[granule][half] << (at + 6n));
  memory.words.set(CONTEXT, cd).set(CONTEXT + 8n * BigInt(half + 1), TABLES);
  let inputs = 64 - size;
  let table = TABLES;
  let current = [0, 1, 2, 3].find((each) => shiftOf(granule, each) < inputs) ?? 3;
  for (; ; current++) {
    const shift = shiftOf(granule, current);
    const address = table + ((iova & ones(inputs)) >> BigInt(shift)) * 8n;
    if (current === level) {
      memory.words.set(address, page | flags | (level === 3 ? 3n : 1n));
      return memory;
    }
    table += 1n << 20n;
    memory.words.set(address, table | 3n);
    inputs = shift;
  }
}

const stage1 = new Smmuv3Stage1([1n | (5n << 1n) | CONTEXT, 0n], registers);

describe("stage 1 of a modelled SMMUv3", () => {
  it("leads from any address of either half to its page or block, with any granule", () => {
    fc.assert(
      fc.property(cases, (each) => {
        const offset = each.iova & ones(shiftOf(each.granule, each.level));
        expect(stage1.translate(tablesFor(each), "write", each.iova)).toBe(each.page | offset);
      }),
    );
  });

  it("leads nowhere from the addresses around that are none of its half", () => {
    fc.assert(
      fc.property(cases, fc.integer({ min: 0, max: 47 }), (each, more) => {
        const bit = 64 - each.size + (more % each.size);
        const outside = each.iova ^ (1n << BigInt(bit));
        expect(stage1.translate(tablesFor(each), "read", outside)).toMatchObject({ reason: "not-canonical" });
      }),
    );
  });

  it("leaves the top byte out where the context says so (TBI0, TBI1)", () => {
    fc.assert(
      fc.property(cases, fc.bigInt({ min: 0n, max: 255n }), (each, top) => {
        const memory = tablesFor(each);
        const tagged = (each.iova & ones(56)) | (top << 56n);
        memory.words.set(CONTEXT, memory.read(CONTEXT) | (1n << BigInt(38 + each.half)));
        const offset = each.iova & ones(shiftOf(each.granule, each.level));
        expect(stage1.translate(memory, "read", tagged)).toBe(each.page | offset);
      }),
    );
  });

  it("has no half that the context disables, and no granule that the SMMU has not", () => {
    const each = { granule: 12, size: 25, half: 0, level: 3, iova: 0x5000n, page: 0x9000n } as const;
    const memory = tablesFor(each);
    expect(stage1.translate(memory, "read", ones(64))).toMatchObject({ reason: "not-canonical" });
    const without = { ...registers, IDR5: registers.IDR5 & ~(1n << 4n) };
    const other = new Smmuv3Stage1([1n | (5n << 1n) | CONTEXT, 0n], without);
    expect(other.translate(memory, "read", each.iova)).toMatchObject({ reason: "first-stage-misconfigured" });
  });

  it("comes to an address or a reason, whatever the guest writes", () => {
    const word = fc.bigInt({ min: 0n, max: ones(64) });
    fc.assert(
      fc.property(
        word,
        word,
        fc.array(word, { minLength: 4, maxLength: 4 }),
        word,
        (set, ste, entries, iova) => {
          const memory = new Words();
          let reads = 0;
          // The context is valid as far as its usual fields go, and the entries of tables are valid.
          memory.read = (address) =>
            address === CONTEXT
              ? (set & ~(7n << 42n)) | (1n << 31n) | (1n << 41n) | (1n << 46n)
              : (entries[reads++ % entries.length] ?? 0n) | 3n;
          const outcome = new Smmuv3Stage1([CONTEXT | 11n, ste], registers).translate(memory, "write", iova);
          if (typeof outcome === "bigint") expect(outcome >> 44n).toBe(0n);
          else expect(outcome.event?.record(8n) ?? new Uint8Array(32)).toHaveLength(32);
        },
      ),
    );
  });

  it("does not take a block of level 1 for one with 16 KiB and 64 KiB", () => {
    for (const granule of [14, 16] as const) {
      const memory = tablesFor({ granule, size: 16, half: 0, level: 3, iova: 0n, page: 0n });
      for (const [address, word] of memory.words)
        if (address >= TABLES && word === ((TABLES + (1n << 20n)) | 3n)) memory.words.set(address, 1n | AF);
      expect(stage1.translate(memory, "read", 0n)).toMatchObject({ reason: "not-present" });
    }
  });
});
