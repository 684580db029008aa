/** Pieces of text that several reports are made of. */

import { stringWidth } from "../lazy.ts";
import type { Origin } from "../origin.ts";

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

/** What is between two columns. */
const GAP = "  ";

/** Rows under a heading, in columns, without lines around them. The last column may be as long as it likes. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = new Array<number>(head.length).fill(0);
  for (const cells of lines)
    for (const [column, cell] of cells.entries())
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell));
  return lines
    .map((cells) =>
      cells
        .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - widthOf(cell)))
        .join(GAP)
        .trimEnd(),
    )
    .join("\n");
}

/** How many columns of a terminal a text takes. Most is ASCII, and counted at once. */
function widthOf(text: string): number {
  return /^[ -~]*$/.test(text) ? text.length : stringWidth()(text);
}

/** How wide labels are, in characters. */
export const LABEL_WIDTH = 10;

/** Something that a report says at its head: a label, and lines. */
export type Fact = readonly [label: string, lines: readonly string[]];

/** Who answered, on which machine, when, and which release wrote it: what every report begins with. */
export function originFact(origin: Origin): Fact {
  return ["Asked", [describeOrigin(origin)]];
}

/** An origin in a line. */
export function describeOrigin(origin: Origin): string {
  const { backend, backendReason, hostName, kernelRelease, time, iommufdVersion } = origin;
  const who = backend !== null ? `${backend} backend (${backendReason})` : (backendReason ?? "no IOMMU");
  const machine = [hostName, kernelRelease === null ? null : `Linux ${kernelRelease}`].filter(
    (each) => each !== null,
  );
  return printable(`${[who, ...machine].join(", ")}; iommufd ${iommufdVersion}, ${time}`);
}

/** The first line of a text: {@link originFact}. */
export function formatOrigin(origin: Origin): string {
  return formatFacts([originFact(origin)]);
}

/** Facts, one below the other. */
export function formatFacts(facts: readonly Fact[]): string {
  return facts.map(([label, lines]) => labelled(label, lines)).join("\n");
}

/** Lines under a label, the way all reports here begin a paragraph. */
export function labelled(label: string, lines: readonly string[]): string {
  return lines.map((line, index) => `${(index === 0 ? label : "").padEnd(LABEL_WIDTH)}${line}`).join("\n");
}
