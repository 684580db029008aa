/** Changes between two plans: compared byte by byte, and in words. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  diffPlans,
  type PlanChange,
  type PlannedRange,
  type RangeUse,
} from "../../lib/container/plan-diff.ts";
import { originOf } from "../../lib/origin.ts";
import { comparePlans, diffDocument, formatDiff } from "../../lib/report/diff-report.ts";
import { readPlanDocument } from "../../lib/report/plan-document.ts";
import { formatOrigin } from "../../lib/report/text.ts";

const ORIGIN = originOf(undefined, new Date(0));
const ASKED = formatOrigin(ORIGIN);

const mapped = (start: bigint, last: bigint, region = "ram", offsetInRegion = 0n): PlannedRange => ({
  start,
  last,
  use: { mapped: true, region, readonly: false, offsetInRegion, ramDevice: false },
});

const skipped = (start: bigint, last: bigint, region = "ram"): PlannedRange => ({
  start,
  last,
  use: { mapped: false, region, reason: "read-only" },
});

/** Ranges that do not overlap, in the first hundred addresses. */
const ranges = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 0, max: 4 }),
      length: fc.integer({ min: 1, max: 9 }),
      region: fc.constantFrom("ram", "rom"),
      offset: fc.integer({ min: 0, max: 3 }),
      isMapped: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .map((list) => {
    let next = 0n;
    return list.map(({ gap, length, region, offset, isMapped }) => {
      const start = next + BigInt(gap);
      next = start + BigInt(length);
      return isMapped ? mapped(start, next - 1n, region, BigInt(offset)) : skipped(start, next - 1n, region);
    });
  });

const END = 110n;

/** The use of one address, so that equal uses are equal strings. */
function useAt(list: readonly PlannedRange[], address: bigint): string {
  const range = list.find(({ start, last }) => start <= address && address <= last);
  return range === undefined ? "nothing" : useString(range.use, address - range.start);
}

function useString(use: RangeUse | null, distance: bigint): string {
  if (use === null) return "nothing";
  return use.mapped ? `${use.region}+${use.offsetInRegion + distance}` : `${use.region} skipped`;
}

function changeAt(changes: readonly PlanChange[], address: bigint): [string, string] | undefined {
  const change = changes.find(({ start, last }) => start <= address && address <= last);
  if (change === undefined) return undefined;
  const distance = address - change.start;
  return [useString(change.before, distance), useString(change.after, distance)];
}

describe("diffPlans", () => {
  it("tells of every address what becomes of it, and of no other", () => {
    fc.assert(
      fc.property(ranges, ranges, (before, after) => {
        const changes = diffPlans(before, after);
        for (let address = 0n; address < END; address++) {
          const [one, other] = [useAt(before, address), useAt(after, address)];
          expect(changeAt(changes, address)).toEqual(one === other ? undefined : [one, other]);
        }
      }),
    );
  });

  it("is empty for a plan and itself, whatever the order, and the other way round the same ranges", () => {
    fc.assert(
      fc.property(ranges, ranges, (before, after) => {
        expect(diffPlans(before, before.toReversed())).toEqual([]);
        expect(
          diffPlans(after, before).map(({ before, after, ...range }) => ({
            ...range,
            before: after,
            after: before,
          })),
        ).toEqual(diffPlans(before, after));
      }),
    );
  });

  it("does not tell of how ranges are divided", () => {
    const halves = [mapped(0x0n, 0xfffn), mapped(0x1000n, 0x1fffn, "ram", 0x1000n)];
    expect(diffPlans([mapped(0x0n, 0x1fffn)], halves)).toEqual([]);
    expect(diffPlans([], halves)).toEqual([
      { start: 0x0n, last: 0x1fffn, before: null, after: mapped(0x0n, 0x1fffn).use },
    ]);
  });

  it("reaches the end of the address space", () => {
    const top = mapped((1n << 64n) - 4096n, (1n << 64n) - 1n);
    expect(diffPlans([top], [])).toEqual([
      { start: top.start, last: top.last, before: top.use, after: null },
    ]);
  });
});

describe("plan documents", () => {
  const plan = (changed: object = {}) =>
    JSON.stringify({
      schema: "iommufd.plan/1",
      addressSpace: "memory",
      pageSize: 4096,
      nesting: true,
      bypassRo: false,
      map: [],
      skipped: [],
      ...changed,
    });
  const mapping = { iova: "0x0", length: "0x1000", readonly: false, region: "ram", offsetInRegion: "0x0" };
  const elsewhere = { ...mapping, iova: "0x10000", ramDevice: false };
  const section = { start: "0x0", last: "0xfff", region: "rom", reason: "read-only" };

  it.each<[string, string]>([
    ["{", "a.json:1:2: not JSON"],
    [plan({ schema: "iommufd.plan/2" }), "a.json:1:11: schema"],
    [plan({ map: [{ ...mapping, iova: 0, ramDevice: false }] }), "a.json:1:115: map[0].iova"],
    [plan({ map: [{ ...mapping, length: "0x0", ramDevice: false }] }), "length must be at least 1"],
    [plan({ skipped: [{ ...section, reason: "dislike" }] }), ".reason: "],
    [plan({ skipped: [{ ...section, last: "0xfff" }, section] }), "overlaps that of 0x0-0xfff"],
    [
      plan({ skipped: [section], map: [{ ...mapping, ramDevice: false }] }),
      "a.json: the range at 0x0 overlaps",
    ],
    [plan(), "a.json: the plan is of no section at all, so there is nothing to compare"],
  ])("%s is refused", (text, message) => {
    expect(() => readPlanDocument(text, "a.json")).toThrow(
      expect.objectContaining({ code: "ERR_IOMMUFD_INPUT", message: expect.stringContaining(message) }),
    );
  });

  it("fields of later releases are passed over; hostile names are made visible", () => {
    const before = readPlanDocument(plan({ later: 1, map: [elsewhere] }), "a.json");
    const hostile = { ...section, region: "\u001b[2J" };
    const after = readPlanDocument(plan({ nesting: false, map: [elsewhere], skipped: [hostile] }), "b.json");
    expect(formatDiff(comparePlans(before, after, ORIGIN))).toBe(
      `${ASKED}\n` +
        "Nesting   wanted, then not wanted\n\n" +
        "before         after            address    length  region\n" +
        "nothing there  skip: read-only  0x0-0xfff  4 KiB   \\u{1b}[2J\n\n" +
        "Totals    1 range; 0 B mapped anew, 0 B no longer mapped",
    );
  });

  it("a plan of a memory map that was not whole: said first", () => {
    const damage = "guest.mtree:8: it ends within a flat view";
    const before = readPlanDocument(plan({ map: [elsewhere] }), "a.json");
    const after = readPlanDocument(
      plan({ map: [elsewhere], memoryMap: { damage, uncertain: [] } }),
      "b.json",
    );
    expect(formatDiff(comparePlans(before, after, ORIGIN))).toMatch(
      /^Asked {5}no IOMMU; .*\nWarning {3}the memory map is not whole: guest\.mtree:8: .*\n(?: .*\n)+Both do the same/,
    );
    expect(diffDocument(comparePlans(before, after, ORIGIN))).toMatchObject({
      before: { damage: null },
      after: { damage },
    });
  });

  it("a region that gives way to another", () => {
    const before = readPlanDocument(plan({ map: [{ ...mapping, ramDevice: false }] }), "a.json");
    const after = readPlanDocument(
      plan({ map: [{ ...mapping, region: "bar", offsetInRegion: "0x1000", ramDevice: true }] }),
      "b.json",
    );
    expect(formatDiff(comparePlans(before, after, ORIGIN)).split("\n")[3]).toBe(
      "map read-write  map read-write, peer-to-peer  0x0-0xfff  4 KiB   ram, then bar @0x1000",
    );
  });
});
