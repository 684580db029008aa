/** Memory that is mapped in several places is pinned once, page by page. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { type PageRange, SharedPages } from "../../lib/backend/software/locked-memory.ts";

const range = fc
  .tuple(fc.bigInt(0n, 20n), fc.bigInt(0n, 5n))
  .map(([first, more]): PageRange => ({ first, last: first + more }));

/** The pages that a list of areas pins. */
const pagesOf = (areas: readonly PageRange[]): Set<bigint> =>
  new Set(
    areas.flatMap(({ first, last }) =>
      Array.from({ length: Number(last - first) + 1 }, (_, page) => first + BigInt(page)),
    ),
  );

it("each step pins or unpins what the others have not", () => {
  const steps = fc.array(fc.tuple(range, fc.nat()), { maxLength: 40 });
  fc.assert(
    fc.property(steps, (list) => {
      const shared = new SharedPages();
      const areas: PageRange[] = [];
      for (const [area, choice] of list) {
        const before = pagesOf(areas).size;
        const removed = choice % 3 === 0 ? areas.splice(choice % (areas.length + 1), 1)[0] : undefined;
        if (removed !== undefined) {
          expect(shared.remove(removed)).toBe(BigInt(before - pagesOf(areas).size));
          continue;
        }
        areas.push(area);
        expect(shared.add(area)).toBe(BigInt(pagesOf(areas).size - before));
      }
    }),
  );
});
