/** A memory map that is not whole is never taken for one that is, wherever it was cut. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  findFlatView,
  type MemorySection,
  parseFlatViews,
  readMemoryMap,
  readMemoryMapFrom,
} from "../../lib/index.ts";
import { CAPTURES, readCapture } from "../fixtures/captures.ts";
import { CAPTURED } from "../fixtures/corpus.ts";

const TEXTS: readonly (readonly [string, string])[] = [
  ...CAPTURES.map((name) => [name, readCapture(name, "mtree")] as const),
  ...CAPTURED.map(([name, { mtree }]) => [name, mtree] as const),
];

/** How often each is cut, at either end. */
const numRuns = Number(process.env["IOMMUFD_TEST_RUNS"] ?? 100);

const BAD_INPUT = expect.objectContaining({ code: "ERR_IOMMUFD_INPUT" });

/** Two sections, and an address space that has no part in it. */
const LINES = [
  "FlatView #0",
  ' AS "memory", root: system',
  " Root memory region: system",
  "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram",
  "  0000000000100000-000000000fffffff (prio 0, ram): pc.ram @0000000000100000",
  "",
  "FlatView #1",
  ' AS "I/O", root: io',
  " Root memory region: io",
  "  0000000000000000-000000000000ffff (prio 0, i/o): io",
  "",
];

const text = (lines: readonly string[], lineEnd = "\n") => lines.map((line) => `${line}${lineEnd}`).join("");
const read = (input: string) => readMemoryMap(input, { source: "guest" });

/** Without what a text is marked to be unsure of. */
const certain = (sections: readonly MemorySection[]) =>
  sections.filter(({ typeIsAssumed }) => !typeIsAssumed);

/**
 * A cut text is refused, or read and reported if there is a handler. Otherwise nothing of the address space is missing.
 */
function expectNoSilence(cut: string, whole: readonly MemorySection[]): void {
  let sections: readonly MemorySection[];
  try {
    sections = read(cut);
  } catch (error) {
    expect(error).toEqual(BAD_INPUT);
    let damage: string | undefined;
    try {
      readMemoryMap(cut, { source: "guest", onDamage: (found) => (damage = found) });
    } catch (refusal) {
      expect(refusal).toEqual(BAD_INPUT);
      return;
    }
    expect(damage).toMatch(/^guest:\d+: /);
    return;
  }
  expect(sections.map(({ start, size }) => [start, size])).toEqual(
    whole.map(({ start, size }) => [start, size]),
  );
  for (const section of certain(sections)) expect(whole).toContainEqual(section);
}

describe.each(TEXTS)("%s", (_, whole) => {
  const sections = read(whole);
  /** Next to every line end, and anywhere. */
  const ends = [...whole.matchAll(/\n/g)].flatMap(({ index }) => [index - 1, index, index + 1, index + 2]);
  const places = fc.oneof(fc.constantFrom(...ends), fc.nat(whole.length));

  it("cut at its end", () => {
    fc.assert(
      fc.property(places, (length) => expectNoSilence(whole.slice(0, length), sections)),
      { numRuns },
    );
  });

  it("cut at its beginning", () => {
    fc.assert(
      fc.property(places, (length) => expectNoSilence(whole.slice(length), sections)),
      { numRuns },
    );
  });

  it("as it came, with CR LF, in pieces, with a prompt around it: whole", async () => {
    for (const lineEnd of ["\n", "\r\n", "\r\r\n"]) {
      const input = whole.replaceAll(/\r*\n/g, lineEnd);
      expect(read(input)).toEqual(sections);
      expect(read(`QEMU 11.1.3 monitor\n(qemu) info mtree -f\n${input}(qemu) `)).toEqual(sections);
    }
    const pieces = (async function* () {
      for (let start = 0; start < whole.length; start += 1000) yield whole.slice(start, start + 1000);
    })();
    expect(await readMemoryMapFrom(pieces, { source: "guest" })).toEqual(sections);
  });
});

describe("a text that is not whole", () => {
  const SHORT = "it ends within a flat view";
  it.each([
    ["without the empty line at its end", LINES.slice(0, -1), `guest:10: ${SHORT}`],
    ["within the second view", LINES.slice(0, 8), `guest:8: ${SHORT}`],
    ["within the first view", LINES.slice(0, 4), `guest:4: ${SHORT}`],
    ["within the next heading", [...LINES, "FlatVi"], `guest:12: ${SHORT}`],
    [
      "whose scrollback began within a view",
      ["0 (prio 0, ram): x", ...LINES],
      "guest:1: it begins within a flat view",
    ],
    [
      "without the views before",
      LINES.map((line) => line.replace("#0", "#3").replace("#1", "#4")),
      "guest:1: the flat views before #3 are missing",
    ],
    [
      "without views between",
      LINES.map((line) => line.replace("#1", "#5")),
      "guest:7: the flat views before #5 are missing",
    ],
    [
      "without its empty lines",
      LINES.filter((line) => line !== ""),
      "guest:6: a flat view begins here, and the one before has not ended",
    ],
    [
      "whose view has no section",
      [...LINES.slice(0, 8), ""],
      "guest:9: a flat view ends here, and has no section",
    ],
    [
      "with lines that a terminal has broken",
      [...LINES.slice(0, 5), "00", ...LINES.slice(5)],
      'guest:6: within a flat view, this line does not belong to one: "00"',
    ],
    [
      "whose tree is cut",
      [...LINES, "address-space: memory", "  0000000000000000-ffff"],
      "guest:13: it ends within a tree of regions",
    ],
  ])("%s: an error, or told", (_, lines, damage) => {
    const input = text(lines);
    expect(() => read(input)).toThrow(`${damage}`);
    expect(() => read(input)).toThrow(
      'sections may be missing: all of what "info mtree -f" prints is needed',
    );
    const told: string[] = [];
    expect(readMemoryMap(input, { source: "guest", onDamage: (found) => told.push(found) })).not.toEqual([]);
    expect(told).toEqual([expect.stringContaining(damage)]);
  });

  it.each([
    [
      "lines with an empty line between each",
      LINES.flatMap((line) => [line, ""]),
      "guest:3: this is of a flat view whose heading is missing (or an empty line was added before it)",
    ],
    [
      "a view whose heading is lost",
      [...LINES.slice(0, 6), ...LINES.slice(8)],
      "guest:7: this is of a flat view whose heading is missing",
    ],
    [
      "nothing but the inside of a view",
      LINES.slice(3, 5),
      "guest: it begins within a flat view, and has no whole one",
    ],
  ])("%s: refused", (_, lines, message) => {
    expect(() => readMemoryMap(text(lines), { source: "guest", onDamage: () => {} })).toThrow(message);
  });

  it("without the address space: said beside", () => {
    expect(() => read(text(LINES.slice(5, -1)))).toThrow(
      'guest: no address space "memory"; there are "I/O"; and the text is not whole (guest:2: the flat views before #1 are missing)',
    );
  });

  it("that ends before it names an address space: there are none, said beside", () => {
    const message =
      'guest: no address space "memory"; there are none; and the text is not whole (guest:1: it ends within a flat view, which QEMU ends with an empty line)';
    expect(() => read(text(LINES.slice(0, 1)))).toThrow(message);
    const views = parseFlatViews(text(LINES.slice(0, 1)), "guest");
    expect(() => findFlatView(views, "memory", "guest")).toThrow(message);
  });

  it("with no section at all: refused", () => {
    expect(() => readMemoryMap(text(LINES.slice(0, 3)), { source: "guest", onDamage: () => {} })).toThrow(
      'guest: the address space "memory" has no sections, so there is nothing to plan',
    );
    expect(() =>
      readMemoryMap(readCapture("q35-nest", "mtree"), { addressSpace: "vfio-pci", source: "guest" }),
    ).toThrow('the address space "vfio-pci" has no sections');
    expect(() => read('{"schema":"iommufd.sections/1","sections":[]}')).toThrow(
      /^guest:1:\d+: sections: must not be empty/,
    );
  });
});

describe("what editors and shells make of a text", () => {
  it("lines that end in carriage returns alone are read", async () => {
    const returns = text(LINES, "\r");
    expect(read(returns)).toEqual(read(text(LINES)));
    for (const size of [1, 7, 1000]) {
      const chunks = (async function* () {
        for (let start = 0; start < returns.length; start += size) yield returns.slice(start, start + size);
      })();
      expect(await readMemoryMapFrom(chunks, { source: "guest" })).toEqual(read(text(LINES)));
    }
  });

  const whole = text(LINES);
  const list =
    '{"schema":"iommufd.sections/1","sections":[{"start":"0x0","last":"0xfff","type":"ram","region":"x"}]}';

  it("a byte order mark is passed over", () => {
    expect(read(`\ufeff${whole}`)).toEqual(read(whole));
    expect(read(`\ufeff${list}`)).toEqual(read(list));
  });

  it.each([
    ["UTF-16", Buffer.from(`\ufeff${whole}`, "utf16le").toString("utf8")],
    ["UTF-16 without a byte order mark", Buffer.from(whole, "utf16le").toString("utf8")],
    ["UTF-16 of the other order", Buffer.from(`\ufeff${whole}`, "utf16le").swap16().toString("utf8")],
  ])("%s, taken for UTF-8: named", async (_, input) => {
    const message =
      "guest: it was read as UTF-8, and is UTF-16; read it as that, or make it UTF-8: iconv -f UTF-16 -t UTF-8";
    expect(() => read(input)).toThrow(message);
    const chunks = (async function* () {
      yield input;
    })();
    await expect(readMemoryMapFrom(chunks, { source: "guest" })).rejects.toThrow(message);
  });
});
