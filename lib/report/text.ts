/** Pieces of text that several reports are made of. */

import { stringWidth } from "../lazy.ts";
import type { Origin } from "../origin.ts";
import { PLAIN } from "./look.ts";

/** Most texts: as they are for a terminal, and as many columns as characters. */
const PLAIN_ASCII = /^[ -~]*$/;

/** An address for people. */
export function formatAddress(address: bigint): string {
  return `0x${address.toString(16)}`;
}

/** An inclusive range for people. */
export function formatRange(start: bigint, last: bigint): string {
  return `${formatAddress(start)}-${formatAddress(last)}`;
}

/** Text from outside, with what a terminal would obey made visible: a region may be called anything. */
export function printable(text: string): string {
  if (PLAIN_ASCII.test(text)) return text;
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) as number;
    return `\\u{${code.toString(16)}}`;
  });
}

/** A region and where in it something is: "pc.bios @0x20000". */
export function formatRegion(region: string, offset: bigint): string {
  return printable(region) + (offset === 0n ? "" : ` @${formatAddress(offset)}`);
}

/** The gap between two columns. */
const GAP = "  ";

/** In fewer columns than this a text is not wrapped: it would be one word a line. */
const NARROWEST = 20;

/**
 * Rows under a heading, in columns, without lines around them. The last column is wrapped.
 *
 * @param width how wide a line may be, in columns of a terminal
 */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width: number = PLAIN.width,
): string {
  const columns = head.map((name, index) => {
    return { head: name, cell: (row: readonly string[]) => row[index] ?? "" };
  });
  return [...tablePieces(columns, rows, width)].join("");
}

/** How many rows of a table are there at once. */
const ROWS_AT_ONCE = 1000;

/** A column of a table of items. */
export interface Column<Item> {
  readonly head: string;
  /** Makes the cell of an item, twice: the last one can decide the width of the column. */
  readonly cell: (item: Item) => string;
}

/** A table as {@link formatTable} makes it, piece by piece: a million rows are never there together. */
export function* tablePieces<Item>(
  columns: readonly Column<Item>[],
  items: readonly Item[],
  width: number,
): Generator<string, void> {
  const last = columns.length - 1;
  const widths = columns.map(({ head }) => widthOf(head));
  for (const [index, { cell }] of columns.slice(0, last).entries())
    for (const item of items) widths[index] = Math.max(widths[index] as number, widthOf(cell(item)));
  const before = widths.slice(0, last).reduce((sum, each) => sum + each + GAP.length, 0);
  const continued = `\n${" ".repeat(before)}`;
  const format = (cellOf: (column: Column<Item>) => string) => {
    let line = "";
    for (const [index, column] of columns.entries()) {
      const cell = cellOf(column);
      line +=
        index === last
          ? wrap(cell, width - before).join(continued)
          : cell + " ".repeat((widths[index] as number) - widthOf(cell)) + GAP;
    }
    return line.trimEnd();
  };
  yield format(({ head }) => head);
  for (let from = 0; from < items.length; from += ROWS_AT_ONCE) {
    const some = items.slice(from, from + ROWS_AT_ONCE);
    yield some.map((item) => `\n${format(({ cell }) => cell(item))}`).join("");
  }
}

/**
 * Breaks a text into lines, at spaces; a word that is longer than a line is broken anywhere.
 *
 * @param text one line, without colours
 * @param width how wide a line may be, in columns of a terminal
 */
export function wrap(text: string, width: number): string[] {
  if (width < NARROWEST || widthOf(text) <= width) return [text];
  const lines: string[] = [];
  let line = "";
  for (const [chunk] of text.matchAll(/ *[^ ]+/g)) {
    if (widthOf(line) + widthOf(chunk) <= width) {
      line += chunk;
      continue;
    }
    if (line !== "") lines.push(line);
    line = "";
    let word = lines.length === 0 ? chunk : chunk.trimStart();
    if (PLAIN_ASCII.test(word)) {
      for (; word.length > width; word = word.slice(width)) lines.push(word.slice(0, width));
      line = word;
      continue;
    }
    for (const character of word) {
      if (widthOf(line) + widthOf(character) > width) {
        lines.push(line);
        line = "";
      }
      line += character;
    }
  }
  return [...lines, line];
}

/** Paints a word where it stands first. */
export function paintFirst(text: string, word: string, paint: (word: string) => string): string {
  return text.replace(word, paint);
}

/** How many columns of a terminal a text takes. Most is ASCII, and counted at once. */
function widthOf(text: string): number {
  return PLAIN_ASCII.test(text) ? text.length : stringWidth()(text);
}

/** How wide labels are, in characters. */
export const LABEL_WIDTH = 10;

/** Something that a report says at its head: a label, and lines. */
export type Fact = readonly [label: string, lines: readonly string[]];

/** The beginning of every report: who answered, on which machine, when, and which release wrote it. */
export function originFact(origin: Origin): Fact {
  return ["Asked", [describeOrigin(origin)]];
}

/** An origin in a line. */
export function describeOrigin(origin: Origin): string {
  const { backend, backendReason, time, iommufdVersion } = origin;
  const who = backend !== null ? `${backend} backend (${backendReason})` : (backendReason ?? "no IOMMU");
  return printable(`${[who, ...describeMachine(origin)].join(", ")}; iommufd ${iommufdVersion}, ${time}`);
}

/** The machine that answered, and its kernel, or the kernel that a model answered as. */
export function describeMachine({ hostName, kernelRelease, modelledKernelRelease }: Origin): string[] {
  return [
    hostName,
    kernelRelease === null ? null : `Linux ${kernelRelease}`,
    modelledKernelRelease === null ? null : `as Linux ${modelledKernelRelease}`,
  ].filter((each) => each !== null);
}

/** The first line of a text: {@link originFact}. */
export function formatOrigin(origin: Origin, width?: number): string {
  return formatFacts([originFact(origin)], width);
}

/** Facts, one below the other. */
export function formatFacts(facts: readonly Fact[], width?: number): string {
  return facts.map(([label, lines]) => labelled(label, lines, width)).join("\n");
}

/**
 * Lines under a label, the way all reports here begin a paragraph.
 *
 * @param width how wide a line may be, in columns of a terminal; longer ones are wrapped
 */
export function labelled(label: string, lines: readonly string[], width: number = PLAIN.width): string {
  return lines
    .flatMap((line) => wrap(line, width - LABEL_WIDTH))
    .map((line, index) => `${(index === 0 ? label : "").padEnd(LABEL_WIDTH)}${line}`)
    .join("\n");
}
