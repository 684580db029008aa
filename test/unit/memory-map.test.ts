/** Reading the output of QEMU and JSON lists, and refusing everything else. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  findFlatView,
  type MemorySection,
  parseFlatViews,
  parseSectionList,
  readMemoryMap,
} from "../../lib/index.ts";
import { CAPTURES, readCapture } from "../fixtures/captures.ts";

/** A flat view with these section lines. */
const view = (...lines: string[]) =>
  ["FlatView #0", ' AS "memory", root: system', " Root memory region: system", ...lines, ""].join("\n");

/** A section as one value, to look it up. */
const key = ({ start, size, region, offsetInRegion }: MemorySection) =>
  `${start} ${size} ${region} ${offsetInRegion}`;

const parse = (...lines: string[]) => parseFlatViews(view(...lines), "test")[0]?.sections;

describe("parseFlatViews", () => {
  it("reads a real capture: banner, echo, CR LF and prompt", () => {
    const views = parseFlatViews(readCapture("q35-nest", "mtree"), "q35-nest.mtree");
    expect(views.map(({ addressSpaces, sections }) => [addressSpaces[0]?.name, sections.length])).toEqual([
      ["memory", 9],
      ["cpu-smm-0", 9],
      ["I/O", 53],
      ["mch", 0],
      ["vtd-root", 9],
    ]);
    expect(views[0]?.sections[2]).toEqual({
      start: 0xe0000n,
      size: 0x20000n,
      region: "pc.bios",
      offsetInRegion: 0x20000n,
      type: "ram",
      readonly: true,
    });
  });

  it.each([
    ["ram", "ram", false],
    ["nv-ram", "ram", false],
    ["rom", "ram", true],
    ["nv-rom", "ram", true],
    ["ramd", "ram-device", false],
    ["romd", "other", false],
    ["i/o", "other", false],
    ["container", "other", false],
  ])("knows kind %s", (kind, type, readonly) => {
    expect(parse(`  0000000000000000-0000000000000fff (prio 0, ${kind}): x`)).toMatchObject([
      { type, readonly },
    ]);
  });

  it.each([
    ["0000:3b:00.0 BAR 0 mmaps[0]", ""],
    ["a region (with) parentheses: and colons", " KVM"],
    ["mem @ somewhere", " @0000000000001000"],
    ["/objects/mem0", " @0000000000001000 KVM"],
    ["owned", " owner:{obj path=/machine/unattached/device[0]} KVM"],
    ["", ""],
  ])("reads region name %j followed by %j", (region, rest) => {
    expect(parse(`  0000000000000000-0000000000000fff (prio -1, ram): ${region}${rest}`)).toMatchObject([
      { region, offsetInRegion: rest.includes("@") ? 0x1000n : 0n },
    ]);
  });

  const at = (page: number, kind: string, rest: string) => {
    const start = page.toString(16).padStart(13, "0");
    return `  ${start}000-${start}fff (prio 0, ${kind}): ${rest}`;
  };

  it.each([
    ["nothing else of it", [], { type: "ram", typeIsAssumed: true }],
    ["ROM device elsewhere", [at(2, "romd", "x")], { type: "other" }],
    ["ROM device that is written", [at(2, "i/o", "x")], { type: "other" }],
    ["RAM elsewhere", [at(2, "ram", "x @0000000000001000")], { type: "ram" }],
    ["RAM of a device", [at(2, "nv-ramd", "x")], { type: "ram-device" }],
    [
      "two regions that are called alike",
      [at(2, "romd", "x"), at(3, "ram", "x")],
      { type: "ram", typeIsAssumed: true },
    ],
    [
      "two regions of different owners",
      [at(2, "romd", "x owner:{obj path=/a}")],
      { type: "ram", typeIsAssumed: true },
    ],
    ["ROM in a tree", ["", "address-space: memory", `  ${at(0, "rom", "x")}`, ""], { type: "ram" }],
    ["ROM device in a tree", ["", "memory-region: x", at(0, "romd", "x [disabled]"), ""], { type: "other" }],
    [
      "an alias in a tree alone",
      ["", "memory-region: y", at(0, "romd", "alias y @x 0000000000000000-0000000000000fff"), ""],
      { type: "ram", typeIsAssumed: true },
    ],
  ])("rom, %s", (_, lines, expected) => {
    const [section] = parse(at(1, "rom", "x"), ...lines) ?? [];
    expect(section).toMatchObject({ readonly: true, ...expected });
    expect(section?.typeIsAssumed).toBe("typeIsAssumed" in expected ? true : undefined);
  });

  it("of more regions than are kept, nothing is made up", () => {
    const lines = Array.from({ length: 70_000 }, (_, index) => at(index + 2, "ram", `r${index}`));
    const text = view([at(1, "rom", "x"), ...lines, at(80_000, "romd", "x")].join("\n"));
    expect(parseFlatViews(text, "test")[0]?.sections[0]).toMatchObject({ type: "ram", typeIsAssumed: true });
  });

  it("knows that the TPM's misalignment is harmless", () => {
    expect(parse("  00000000fed40080-00000000fed40fff (prio 1, ramd): tpm-crb-cmd")).toMatchObject([
      { misalignmentIsKnown: true },
    ]);
  });

  it("reads a view of the whole address space", () => {
    expect(parse("  0000000000000000-ffffffffffffffff (prio 0, i/o): io")).toMatchObject([
      { size: 1n << 64n },
    ]);
  });

  it.each([
    ["  0000000000000000-00000000000 (prio 0, ram): cut", "test:4: this section cannot be read"],
    ["  0000000000000000-0000000000000fff (prio 0, ram)", "test:4: this section cannot be read"],
    ["  0000000000000000-0000000000000fff (prio 0, flash): x", 'test:4: unknown kind of memory "flash"'],
    ["  0000000000000000-0000000000000fff (prio 0, constructor): x", 'unknown kind of memory "constructor"'],
    ["  0000000000001000-0000000000000fff (prio 0, ram): x", "test:4: the section ends before it starts"],
  ])("refuses %j", (line, message) => {
    expect(() => parse(line)).toThrow(
      expect.objectContaining({ code: "ERR_IOMMUFD_INPUT", message: expect.stringContaining(message) }),
    );
  });

  it("refuses sections that overlap", () => {
    expect(() =>
      parse(
        "  0000000000000000-0000000000000fff (prio 0, ram): x",
        "  0000000000000800-0000000000001fff (prio 0, ram): y",
      ),
    ).toThrow("test:5: the section overlaps the one before it");
  });

  it.each([
    ["", "the input is empty"],
    ["address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n", "info mtree -f"],
    ["hello", "no flat view in it"],
  ])("says what is wrong with %j", (text, message) => {
    expect(() => parseFlatViews(text, "test")).toThrow(message);
  });

  it.each(CAPTURES)("cut anywhere, %s gives sections of the whole or an error", (name) => {
    const text = readCapture(name, "mtree");
    const regions = new Set(parseFlatViews(text, "whole").flatMap(({ sections }) => sections.map(key)));
    fc.assert(
      fc.property(fc.nat(text.length), (length) => {
        try {
          // A name cut short is a name: the last line before the cut is the only one that may differ.
          const sections = parseFlatViews(text.slice(0, length), "cut").flatMap((each) => each.sections);
          for (const section of sections.slice(0, -1)) expect(regions).toContain(key(section));
        } catch (error) {
          expect(error).toMatchObject({ code: "ERR_IOMMUFD_INPUT" });
        }
      }),
    );
  });

  it("reads back any sections that QEMU could print", () => {
    const name = fc
      .string({ unit: "grapheme-ascii", maxLength: 12 })
      .filter((text) => !/\s$|KVM$|@[0-9a-f]{16}$|\{/.test(text));
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            gap: fc.nat(9),
            pages: fc.integer({ min: 1, max: 9 }),
            region: name,
            offset: fc.nat(9),
          }),
        ),
        (pieces) => {
          let next = 0;
          const expected = pieces.map(({ gap, pages, region, offset }) => {
            const start = next + gap;
            next = start + pages;
            return { start: BigInt(start), size: BigInt(pages), region, offsetInRegion: BigInt(offset) };
          });
          const hex = (value: bigint) => value.toString(16).padStart(16, "0");
          const lines = expected.map(
            ({ start, size, region, offsetInRegion }) =>
              `  ${hex(start)}-${hex(start + size - 1n)} (prio 0, ram): ${region}${offsetInRegion ? ` @${hex(offsetInRegion)}` : ""}\r`,
          );
          expect(parse(...lines)).toEqual(
            expected.map((each) => ({ ...each, type: "ram", readonly: false })),
          );
        },
      ),
    );
  });
});

describe("findFlatView", () => {
  const views = parseFlatViews(readCapture("q35-nest", "mtree"), "capture");

  it("finds a view by any of its address spaces", () => {
    expect(findFlatView(views, "cpu-memory-0", "capture")).toBe(findFlatView(views, "memory", "capture"));
  });

  it("gives an empty view where none was rendered", () => {
    expect(findFlatView(views, "vfio-pci", "capture").sections).toEqual([]);
  });

  it("names those that exist", () => {
    expect(() => findFlatView(views, "memry", "capture")).toThrow(
      'capture: no address space "memry"; there are "memory", "cpu-memory-0", "cpu-smm-0", "I/O", "mch", "ICH9-LPC", "ich9-ahci", "ICH9-SMB", "vfio-pci", "vtd-root"',
    );
  });

  it("asks which, where a name is not enough", () => {
    const two = parseFlatViews(
      'FlatView #0\n AS "vtd-root", root: vtd-00.0\n\nFlatView #1\n AS "vtd-root", root: vtd-01.0\n',
      "test",
    );
    expect(() => findFlatView(two, "vtd-root", "test")).toThrow(
      'say which: "vtd-root:vtd-00.0", "vtd-root:vtd-01.0"',
    );
    expect(findFlatView(two, "vtd-root:vtd-01.0", "test")).toBe(two[1]);
  });
});

describe("parseSectionList", () => {
  const document = (section: object) => JSON.stringify({ schema: "iommufd.sections/1", sections: [section] });

  it("reads sections, with defaults", () => {
    const text = document({ start: "0x0", last: "0xBFFFF", type: "ram", region: "pc.ram" });
    expect(parseSectionList(text, "test")).toEqual({
      addressSpace: "memory",
      sections: [
        {
          start: 0n,
          size: 0xc0000n,
          type: "ram",
          region: "pc.ram",
          offsetInRegion: 0n,
          readonly: false,
          protected: false,
        },
      ],
    });
  });

  it("is the same plan input as the flat view that it was made from", () => {
    const sections = readMemoryMap(readCapture("q35-plain", "mtree"), { source: "capture" });
    const text = JSON.stringify({
      schema: "iommufd.sections/1",
      sections: sections.map(({ start, size, offsetInRegion, ...rest }: MemorySection) => ({
        ...rest,
        start: `0x${start.toString(16)}`,
        last: `0x${(start + size - 1n).toString(16)}`,
        offsetInRegion: `0x${offsetInRegion.toString(16)}`,
      })),
    });
    expect(readMemoryMap(text, { source: "json" })).toEqual(
      sections.map((section) => ({ ...section, protected: false })),
    );
  });

  it.each([
    ["{", /^test:1:2: not JSON: Expected property name or '}'/],
    ["[]", /^test:1:1: the document: /],
    [document({}), /^test:1:\d+: sections\[0\]\.start: /],
    [
      document({ start: "0x10", last: "0xf", type: "ram", region: "x" }),
      /^test:1:44: sections\[0\]: last must not be before start/,
    ],
    [document({ start: 5, last: "0xf", type: "ram", region: "x" }), /^test:1:\d+: sections\[0\]\.start: /],
    [
      document({ start: "0x0", last: "0x1ffffffffffffffff", type: "ram", region: "x" }),
      /sections\[0\]\.last: must be a hexadecimal/,
    ],
    [document({ start: "0x0", last: "0xf", type: "flash", region: "x" }), /sections\[0\]\.type: /],
    [
      document({ start: "0x0", last: "0xf", type: "ram", region: "x", speed: 1 }),
      /sections\[0\]: Unrecognized key: "speed"/,
    ],
    ['{"schema":"iommufd.sections/2","sections":[]}', /^test:1:11: schema: /],
  ])("refuses %s", (text, message) => {
    expect(() => parseSectionList(text, "test")).toThrow(message);
  });

  it("of another address space is refused", () => {
    expect(() =>
      readMemoryMap(document({ start: "0x0", last: "0xf", type: "ram", region: "x" }), {
        addressSpace: "I/O",
        source: "test",
      }),
    ).toThrow('test: no address space "I/O"; there is "memory"');
  });
});
