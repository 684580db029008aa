/** Tables of reports: columns are where they should be, however long or wide their cells. */

import fc from "fast-check";
import stringWidth from "string-width";
import { describe, expect, it } from "vitest";
import { formatTable, wrap } from "../../lib/report/text.ts";

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
        const lines = formatTable(head, rows, Number.POSITIVE_INFINITY).split("\n");
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

  it("is not wider than asked for: the last column goes on in the next line", () => {
    expect(formatTable(["a", "b"], [["one", "two three four five six"]], 25)).toBe(
      ["a    b", "one  two three four five", "     six"].join("\n"),
    );
  });

  it("is the same of a hundred thousand rows", () => {
    const rows = Array.from({ length: 100_000 }, (_, number) => [`${number}`, "x"]);
    const lines = formatTable(["number", "what"], rows).split("\n");
    expect(lines[0]).toBe("number  what");
    expect(lines[100_000]).toBe("99999   x");
  });
});

describe("a text", () => {
  const text = fc.string({ unit: fc.constantFrom("a", " ", "-", "é", "界", "👍"), maxLength: 200 });

  it("is broken into lines of that width at most, and nothing of it is lost but spaces where it is broken", () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 20, max: 60 }), (words, width) => {
        const lines = wrap(words, width);
        for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(Math.max(width, 0));
        const squeezed = (some: string) => some.replaceAll(" ", "");
        expect(squeezed(lines.join(""))).toBe(squeezed(words));
      }),
    );
  });

  it("is broken at spaces, and within a word that is longer than a line", () => {
    expect(wrap("a word, another, and a third", 20)).toEqual(["a word, another, and", "a third"]);
    expect(wrap(`see ${"x".repeat(25)} there`, 20)).toEqual(["see", "x".repeat(20), "xxxxx there"]);
    expect(wrap("as it is", 5)).toEqual(["as it is"]);
  });
});
