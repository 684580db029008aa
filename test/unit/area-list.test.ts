/** Areas by address, compared with a list that is searched from end to end. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AreaList } from "../../lib/area-list.ts";

interface Range {
  start: bigint;
  last: bigint;
}

describe("AreaList", () => {
  it("answers as a plain list that is searched from end to end", () => {
    const range = fc
      .tuple(fc.bigInt({ min: 0n, max: 60n }), fc.bigInt({ min: 0n, max: 9n }))
      .map(([start, length]): Range => ({ start, last: start + length }));
    const step = fc.record({ insert: fc.boolean(), range });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const list = new AreaList<Range>();
        let plain: Range[] = [];
        const overlapping = ({ start, last }: Range) =>
          plain.filter((each) => each.start <= last && each.last >= start);
        for (const { insert, range } of steps) {
          expect([...list.overlapping(range.start, range.last)]).toEqual(overlapping(range));
          expect(list.firstOverlapping(range.start, range.last)).toBe(overlapping(range)[0]);
          const inTheWay = overlapping(range)[0];
          if (insert) expect(list.insert(range)).toBe(inTheWay);
          if (insert && inTheWay === undefined) {
            plain = [...plain, range].sort((a, b) => (a.start < b.start ? -1 : 1));
          } else if (!insert) {
            const gone = overlapping(range);
            const exact = gone.find(({ start, last }) => start === range.start && last === range.last);
            expect(list.remove(range.start, range.last)).toBe(exact);
            for (const { start, last } of list.overlapping(range.start, range.last)) list.remove(start, last);
            plain = plain.filter((each) => !gone.includes(each));
          }
          expect([...list]).toEqual(plain);
          expect(list.size).toBe(plain.length);
        }
      }),
    );
  });

  it("stays in order with more than one array holds, in whatever order they come and go", () => {
    const order = fc.shuffledSubarray(
      Array.from({ length: 3000 }, (_, index) => BigInt(index) * 10n),
      {
        minLength: 1500,
      },
    );
    fc.assert(
      fc.property(order, order, (added, removed) => {
        const list = new AreaList<Range>();
        for (const start of added) list.insert({ start, last: start + 4n });
        const left = new Set(added);
        for (const start of removed) {
          const area = list.firstOverlapping(start + 4n, start + 9n);
          expect(area !== undefined).toBe(left.delete(start));
          if (area !== undefined) list.remove(area.start, area.last);
        }
        expect([...list].map(({ start }) => start)).toEqual([...left].sort((a, b) => (a < b ? -1 : 1)));
        expect(list.size).toBe(left.size);
      }),
      { numRuns: 10 },
    );
  });
});
