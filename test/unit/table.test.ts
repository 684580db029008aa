/** Tables of reports: columns are where they should be, however long or wide their cells. */

import fc from "fast-check";
import stringWidth from "string-width";
import { describe, expect, it } from "vitest";
import { formatTable } from "../../lib/report/text.ts";

const cell = fc.string({ unit: fc.constantFrom("a", "0", "-", "é", "界", "👍"), maxLength: 12 });

/** The part of a line between two columns of a terminal. */
function between(line: string, from: number, to: number): string {
  let column = 0;
  let found = "";
  for (const { segment } of new Intl.Segmenter().segment(line)) {
    if (column >= from && column < to) found += segment;
    column += stringWidth(segment);
  }
  return found;
}

describe("a table", () => {
  it("has each cell in its column, two spaces from the widest of the column before", () => {
    fc.assert(
      fc.property(fc.tuple(cell, cell, cell), fc.array(fc.tuple(cell, cell, cell)), (head, rows) => {
        const lines = formatTable(head, rows).split("\n");
        const table = [head, ...rows];
        expect(lines).toHaveLength(table.length);
        const widths = [0, 1, 2].map((column) =>
          Math.max(...table.map((cells) => stringWidth(cells[column] as string))),
        ) as [number, number, number];
        const starts = [0, widths[0] + 2, widths[0] + widths[1] + 4] as const;
        for (const [number, cells] of table.entries()) {
          const line = lines[number] as string;
          expect(line).toBe(line.trimEnd());
          for (const column of [0, 1, 2] as const) {
            const end = starts[column] + widths[column];
            expect(between(line, starts[column], end).trimEnd()).toBe(cells[column]);
          }
        }
      }),
    );
  });

  it("is the same of a hundred thousand rows", () => {
    const rows = Array.from({ length: 100_000 }, (_, number) => [`${number}`, "x"]);
    const lines = formatTable(["number", "what"], rows).split("\n");
    expect(lines[0]).toBe("number  what");
    expect(lines[100_000]).toBe("99999   x");
  });
});
