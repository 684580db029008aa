import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AreaList } from "../../lib/backend/software/area-list.ts";

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
          if (insert && overlapping(range).length === 0) {
            list.insert(range);
            plain = [...plain, range].sort((a, b) => (a.start < b.start ? -1 : 1));
          } else if (!insert) {
            for (const area of list.overlapping(range.start, range.last)) list.remove(area);
            const gone = overlapping(range);
            plain = plain.filter((each) => !gone.includes(each));
          }
          expect([...list]).toEqual(plain);
        }
      }),
    );
  });
});
