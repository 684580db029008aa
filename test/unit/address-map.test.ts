/** The drawing of plans: the axis, and the bar of a terminal. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plan } from "../../lib/container/plan.ts";
import { drawPlan } from "../../lib/report/address-map.ts";
import { divideAxis } from "../../lib/report/axis.ts";
import { formatBar } from "../../lib/report/bar.ts";
import type { MemorySection } from "../../lib/section.ts";

const KIB = 1n << 10n;
const TIB = 1n << 40n;

const ram = (start: bigint, size: bigint, more: Partial<MemorySection> = {}): MemorySection => ({
  start,
  size,
  region: "ram",
  offsetInRegion: 0n,
  type: "ram",
  readonly: false,
  ...more,
});

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const ranges = fc.array(
  fc.tuple(u64, u64).map(([a, b]) => (a < b ? { start: a, last: b } : { start: b, last: a })),
  { maxLength: 20 },
);

describe("the axis", () => {
  it("covers all addresses once, without holes, and divides where ranges begin and end", () => {
    fc.assert(
      fc.property(ranges, (shown) => {
        const last = (1n << 64n) - 1n;
        const axis = divideAxis(shown, last);
        expect(axis[0]).toMatchObject({ start: 0n, from: 0 });
        expect(axis.at(-1)?.last).toBe(last);
        expect(axis.at(-1)?.to).toBeCloseTo(1);
        for (const [index, piece] of axis.entries()) {
          const next = axis[index + 1];
          expect(piece.start <= piece.last && piece.from < piece.to).toBe(true);
          if (next !== undefined) expect([next.start, next.from]).toEqual([piece.last + 1n, piece.to]);
          const holders = shown.filter(({ start, last }) => start <= piece.last && last >= piece.start);
          expect(piece.empty).toBe(holders.length === 0);
          expect(holders.every(({ start, last }) => start <= piece.start && last >= piece.last)).toBe(true);
        }
      }),
    );
  });

  it("shows 4 KiB in 4 TiB", () => {
    const sections = [{ start: 0n, last: 4n * TIB - 1n }];
    const page = { start: 8n * TIB, last: 8n * TIB + 4n * KIB - 1n };
    const [, gap, small] = divideAxis([...sections, page], page.last);
    expect(gap?.empty).toBe(true);
    expect((small?.to ?? 0) - (small?.from ?? 0)).toBeGreaterThan(1 / 50);
  });
});

describe("the bar", () => {
  const sections = [
    ram(0n, 768n * KIB),
    ram(0xc0000n, 256n * KIB, { readonly: true }),
    ram(0x100000n, 4n * TIB),
    ram(0xfee0_0000_0000n, 4n * KIB, { type: "other" }),
  ];

  it("shows what is mapped, what is left out and why, and what the host reserves", () => {
    const map = drawPlan(plan(sections, { bypassRo: true }), [
      { start: 0n, last: 0xfedf_ffffn },
      { start: 0xfef0_0000n, last: (1n << 48n) - 1n },
    ]);
    const lines = formatBar(map, 70);
    expect(lines).toMatchInlineSnapshot(`
      [
        "#######oooooo###############################################....--....",
        "                              xxxxxxx",
        "0x0    0xc0000                0xfee00000",
        "# mapped  r mapped read-only  o left out as read-only  - left out otherwise",
        "x the host maps nothing there  . nothing; widths are logarithmic",
      ]
    `);
  });

  it("of read-only mappings, of a host that was not asked", () => {
    expect(formatBar(drawPlan(plan(sections.slice(0, 2)), undefined), 30)).toMatchInlineSnapshot(`
      [
        "################rrrrrrrrrrrrrr",
        "0x0             0xc0000",
        "# mapped  r mapped read-only  o left out as read-only  - left out otherwise",
        ". nothing; widths are logarithmic",
      ]
    `);
  });

  it("of nothing", () => {
    expect(formatBar(drawPlan(plan([]), undefined), 20)[0]).toBe(".".repeat(20));
  });

  it("is as wide as it may be, and shows every kind, however many sections there are", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 20, max: 120 }), (count, width) => {
        const many = Array.from({ length: count }, (_, index) =>
          ram(BigInt(index) << 20n, 64n * KIB, { readonly: index === count >> 1 }),
        );
        const [guest = "", scale = ""] = formatBar(
          drawPlan(plan(many, { bypassRo: true }), undefined),
          width,
        );
        expect(guest.length).toBe(width);
        expect(guest).toContain("o");
        expect(scale.length).toBeLessThanOrEqual(width);
        if (count > 1) expect(guest).toContain("#");
      }),
    );
  });
});
