/** Text in the encodings of editors and shells, cut anywhere. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeChunks, decodeText } from "../../lib/encoding.ts";
import { eachLine, linesOf } from "../../lib/lines.ts";

const encodings: Readonly<Record<string, (text: string) => Buffer>> = {
  "UTF-8": (text) => Buffer.from(text),
  "UTF-8 with a mark": (text) => Buffer.from(`\ufeff${text}`),
  "UTF-16LE with a mark": (text) => Buffer.from(`\ufeff${text}`, "utf16le"),
  "UTF-16BE with a mark": (text) => Buffer.from(`\ufeff${text}`, "utf16le").swap16(),
  "UTF-16LE without": (text) => Buffer.from(`{"${text}`, "utf16le"),
  "UTF-16BE without": (text) => Buffer.from(`{"${text}`, "utf16le").swap16(),
};

async function* pieces<Whole extends { length: number; slice(start: number, end: number): Whole }>(
  whole: Whole,
  size: number,
): AsyncGenerator<Whole> {
  for (let start = 0; start < whole.length; start += size) yield whole.slice(start, start + size);
}

/** Well-formed text that does not begin with a mark. */
const text = fc.string({ unit: "binary" }).filter((each) => !/^[\0\ufeff]|^.\0/su.test(each));
const size = fc.integer({ min: 1, max: 9 });

it.each(Object.keys(encodings))("%s, whole and in pieces", async (name) => {
  const encode = encodings[name] as (text: string) => Buffer;
  const property = fc.asyncProperty(text, size, async (original, length) => {
    const bytes = encode(original);
    const expected = name.endsWith("without") ? `{"${original}` : original;
    expect(decodeText(bytes)).toBe(expected);
    let decoded = "";
    for await (const piece of decodeChunks(pieces(bytes, length))) decoded += piece;
    expect(decoded).toBe(expected);
  });
  await fc.assert(property);
});

it("lines end in LF, CR LF or CR, however a text is cut", async () => {
  const line = fc.string({ unit: fc.constantFrom("a", " b", "c") });
  const lines = fc.array(line, { minLength: 2 });
  const property = fc.asyncProperty(
    lines,
    fc.constantFrom("\n", "\r\n", "\r"),
    size,
    async (original, end, length) => {
      const whole = `${original.join(end)}${end}x`;
      const told: string[] = [];
      await eachLine(pieces(whole, length), (each) => told.push(each.replace(/\r$/, "")));
      expect(told).toEqual([...original, "x"]);
      expect(linesOf(whole).map((each) => each.replace(/\r$/, ""))).toEqual([...original, "x"]);
    },
  );
  await fc.assert(property);
});
