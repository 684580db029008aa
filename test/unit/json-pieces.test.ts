/** Documents that are written piece by piece. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Elements, jsonPieces } from "../../lib/json.ts";

const value = fc.jsonValue();
const name = fc.string().filter((text) => text !== "__proto__");

describe("a document in pieces", () => {
  it("is what JSON.stringify() writes", () => {
    fc.assert(
      fc.property(fc.dictionary(name, value), fc.array(value), fc.array(value), (document, first, second) => {
        const whole = { ...document, nothing: undefined, first, nested: { second }, empty: {} };
        const inPieces = {
          ...whole,
          first: new Elements(first, (each) => each),
          nested: { second: new Elements(second, (each) => each) },
        };
        const expected = JSON.stringify(whole, null, 2);
        expect([...jsonPieces(inPieces)].join("")).toBe(expected);
        expect(JSON.stringify(inPieces, null, 2)).toBe(expected);
      }),
    );
  });

  it("is so of thousands of elements, of which few are there at a time", () => {
    const numbers = Array.from({ length: 2500 }, (_, index) => index);
    const pieces = [...jsonPieces({ squares: new Elements(numbers, (each) => ({ square: each * each })) })];
    expect(pieces.join("")).toBe(
      JSON.stringify({ squares: numbers.map((each) => ({ square: each * each })) }, null, 2),
    );
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThan(50_000);
  });
});
