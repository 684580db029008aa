/** Pieces of text that several reports are made of. */

import Table from "cli-table3";

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
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) as number;
    return `\\u{${code.toString(16)}}`;
  });
}

/** A region and where in it something is: "pc.bios @0x20000". */
export function formatRegion(region: string, offset: bigint): string {
  return printable(region) + (offset === 0n ? "" : ` @${formatAddress(offset)}`);
}

/** How many rows the library for tables is given at once: it takes time by their square, and passes them on as arguments. */
const ROWS_AT_ONCE = 2000;

/** Rows under a heading, in columns, without lines around them. Of very many, each block has columns of its own width. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const blocks = [formatBlock(head, rows.slice(0, ROWS_AT_ONCE))];
  for (let start = ROWS_AT_ONCE; start < rows.length; start += ROWS_AT_ONCE)
    blocks.push(formatBlock([], rows.slice(start, start + ROWS_AT_ONCE)));
  return blocks.join("\n");
}

function formatBlock(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const none = "";
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 0 },
    chars: {
      top: none,
      "top-mid": none,
      "top-left": none,
      "top-right": none,
      bottom: none,
      "bottom-mid": none,
      "bottom-left": none,
      "bottom-right": none,
      left: none,
      "left-mid": none,
      mid: none,
      "mid-mid": none,
      right: none,
      "right-mid": none,
      middle: "  ",
    },
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** How wide labels are, in characters. */
export const LABEL_WIDTH = 10;

/** Something that a report says at its head: a label, and lines. */
export type Fact = readonly [label: string, lines: readonly string[]];

/** Facts, one below the other. */
export function formatFacts(facts: readonly Fact[]): string {
  return facts.map(([label, lines]) => labelled(label, lines)).join("\n");
}

/** Lines under a label, the way all reports here begin a paragraph. */
export function labelled(label: string, lines: readonly string[]): string {
  return lines.map((line, index) => `${(index === 0 ? label : "").padEnd(LABEL_WIDTH)}${line}`).join("\n");
}
