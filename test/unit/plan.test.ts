/** The outcome for a section, rule by rule, and for many at once. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decide, isMapping, type MemorySection, plan } from "../../lib/index.ts";

const RAM: MemorySection = {
  start: 0x1000n,
  size: 0x2000n,
  region: "pc.ram",
  offsetInRegion: 0x1000n,
  type: "ram",
  readonly: false,
};

describe("decide", () => {
  it("maps RAM, with the offset that the rounded start has in the region", () => {
    expect(decide({ ...RAM, start: 0x1800n, offsetInRegion: 0x5800n, size: 0x3000n })).toMatchObject({
      iova: 0x2000n,
      length: 0x2000n,
      offsetInRegion: 0x6000n,
      readonly: false,
      ramDevice: false,
    });
  });

  it("maps read-only RAM without write permission, unless it is bypassed", () => {
    expect(decide({ ...RAM, readonly: true })).toMatchObject({ readonly: true, iova: 0x1000n });
    expect(decide({ ...RAM, readonly: true }, { bypassRo: true })).toMatchObject({ reason: "read-only" });
    expect(isMapping(decide(RAM, { bypassRo: true }))).toBe(true);
  });

  it("checks in the order of the rules: what breaks several is skipped for the first", () => {
    const worst: MemorySection = {
      start: (1n << 63n) + 1n,
      size: 1n,
      region: "worst",
      offsetInRegion: 0n,
      type: "other",
      readonly: true,
      protected: true,
    };
    const steps: [Partial<MemorySection>, string][] = [
      [{}, "read-only"],
      [{ readonly: false }, "not-ram"],
      [{ type: "ram" }, "protected"],
      [{ protected: false }, "high-address"],
      [{ start: 1n }, "misaligned"],
      [{ offsetInRegion: 1n }, "sub-page"],
      [{ type: "ram-device", size: 0x1fffn }, "unaligned-ram-device"],
    ];
    let section = worst;
    for (const [change, reason] of steps) {
      section = { ...section, ...change };
      expect(decide(section, { bypassRo: true, iommuPageSize: 0x10000 })).toEqual({ section, reason });
    }
    expect(decide(section)).toMatchObject({ ramDevice: true, iova: 0x1000n, length: 0x1000n });
  });

  it("skips what has no whole page", () => {
    for (const [start, size] of [
      [0x800n, 0x800n],
      [0x1001n, 0x1ffen],
      [0x1000n, 0xfffn],
    ] as const) {
      expect(decide({ ...RAM, start, offsetInRegion: start, size })).toMatchObject({ reason: "sub-page" });
    }
  });

  it("follows the page size of the host", () => {
    expect(decide(RAM, { pageSize: 65536 })).toMatchObject({ reason: "sub-page" });
    expect(decide({ ...RAM, offsetInRegion: 0x3000n }, { pageSize: 65536 })).toMatchObject({
      reason: "misaligned",
    });
  });

  it("takes a section of the whole address space", () => {
    expect(decide({ ...RAM, start: 0n, offsetInRegion: 0n, size: 1n << 64n })).toMatchObject({
      length: 1n << 64n,
    });
  });

  it.each([
    [{ size: 0n }],
    [{ size: -1n }],
    [{ start: -1n }],
    [{ start: 1n, size: 1n << 64n }],
    [{ offsetInRegion: -1n }],
  ])("refuses a section that cannot be: %o", (change) => {
    expect(() => decide({ ...RAM, ...change })).toThrow(
      expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }),
    );
  });

  it.each([0, -4096, 4095, 2048, 6000, 4096.5, Number.NaN])("refuses page size %d", (pageSize) => {
    expect(() => decide(RAM, { pageSize })).toThrow("pageSize must be a power of two of at least 4096");
  });
});

describe("plan", () => {
  it("is ordered by address, whatever the order of the sections", () => {
    const sections = [0x9000n, 0x1000n, 0x5000n].map((start) => ({ ...RAM, start, offsetInRegion: start }));
    expect(plan(sections).map.map(({ iova }) => iova)).toEqual([0x1000n, 0x5000n, 0x9000n]);
  });

  it("refuses sections that overlap, naming both", () => {
    expect(() => plan([RAM, { ...RAM, start: 0x2000n, region: "rom" }])).toThrow(
      /pc.ram at 0x1000-0x2fff overlaps the next.*rom at 0x2000-0x3fff/,
    );
  });

  /** Disjoint sections of any kind, with odd ends. */
  const sections = fc
    .array(
      fc.record({
        gap: fc.bigInt({ min: 0n, max: 0x3000n }),
        size: fc.bigInt({ min: 1n, max: 0x9000n }),
        skew: fc.constantFrom(0n, 0n, 0n, 0x800n),
        type: fc.constantFrom("ram", "ram", "ram-device", "other"),
        readonly: fc.boolean(),
        protected: fc.boolean(),
        high: fc.boolean(),
      }),
      { maxLength: 20 },
    )
    .map((pieces) => {
      let next = 0n;
      return pieces.map(({ gap, size, skew, high, ...rest }, index): MemorySection => {
        const start = next + gap;
        next = start + size;
        return {
          ...rest,
          start: high ? start | (1n << 63n) : start,
          size,
          region: `r${index}`,
          offsetInRegion: start + skew,
        } as MemorySection;
      });
    });

  it("accounts for every section once, maps only whole pages within it, and never what a rule forbids", () => {
    fc.assert(
      fc.property(sections, fc.boolean(), fc.constantFrom(4096, 8192), (input, bypassRo, pageSize) => {
        const { map, skipped } = plan(input, { bypassRo, pageSize });
        expect([...map, ...skipped].map(({ section }) => section.region).sort()).toEqual(
          input.map(({ region }) => region).sort(),
        );
        for (const { section, iova, length, readonly, offsetInRegion } of map) {
          expect(iova % BigInt(pageSize)).toBe(0n);
          expect(length > 0n && length % BigInt(pageSize) === 0n).toBe(true);
          expect(iova >= section.start && iova + length <= section.start + section.size).toBe(true);
          expect(iova - section.start).toBe(offsetInRegion - section.offsetInRegion);
          expect(readonly).toBe(section.readonly);
          expect(section.type).not.toBe("other");
          expect(bypassRo && readonly).toBe(false);
        }
      }),
    );
  });

  it("with bypassRo is the plan without it, less the read-only sections", () => {
    fc.assert(
      fc.property(sections, (input) => {
        const without = plan(input);
        const withBypass = plan(input, { bypassRo: true });
        expect(withBypass.map).toEqual(without.map.filter(({ readonly }) => !readonly));
        expect(withBypass.skipped.filter(({ section }) => !section.readonly)).toEqual(
          without.skipped.filter(({ section }) => !section.readonly),
        );
      }),
    );
  });
});
