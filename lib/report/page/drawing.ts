/** An address map as SVG: what the guest has above what the host reserves, and the addresses below. */

import { formatLength } from "../../lengths.ts";
import type { IovaRange } from "../../uapi.ts";
import type { AddressMap, Drawn, HostKind } from "../address-map.ts";
import type { Piece } from "../axis.ts";
import { formatAddress, formatRange } from "../text.ts";
import { html, type Markup } from "./markup.ts";

/** A section as the page shows it. */
export interface ShownSection extends IovaRange {
  /** The id of its row in the table. */
  readonly row: string;
  /** The class that it is drawn with: "read-write", "refused". */
  readonly kind: string;
  /** All that is to be said of it. */
  readonly title: string;
}

const HOST_TITLES: Readonly<Record<HostKind, string>> = {
  reserved: "reserved by the host",
  outside: "the IOMMU cannot translate these addresses",
};

/** How wide a character of an address below is, and the least space behind it, in pixels: 12 px of any monospaced font. */
const CHARACTER = 7.5;
const LABEL_GAP = 12;

/** Widths of the drawing, in pixels, from which on more addresses have room. */
const WIDTHS = [300, 600, 900, 1200, 2400, 4800] as const;

/** Shows the addresses that have room; page.css hides all of them. */
export const DRAWING_STYLE = WIDTHS.map(
  (width) => `@container (min-width: ${width}px) {\n  .map .from-${width} {\n    display: inline;\n  }\n}\n`,
).join("\n");

/** How narrow a piece may get, in pixels, before the drawing gets wider than the page. */
const NARROWEST = 6;

/** How many gaps are drawn one by one. */
const MOST_GAPS = 20_000;

/** How wide the drawing gets at most, in pixels. */
const WIDEST = 8000;

/** @param shown for each section of the guest, in order, what to say of it */
export function drawSvg({ host, axis }: AddressMap, shown: readonly ShownSection[]): Markup {
  const narrowest = axis.reduce((least, { from, to }) => Math.min(least, to - from), 1);
  // Not wider than a few screens, however many sections there are.
  const least = Math.min(Math.ceil(NARROWEST / narrowest), WIDEST);
  // An element without a height keeps the drawing from getting narrower: the page's policy allows no style of one element.
  return html`<div class="canvas"><svg class="least" width="${least}" height="0" aria-hidden="true"></svg><div class="drawing"><svg class="map" width="100%" height="${host.length > 0 ? 118 : 90}" role="group" aria-labelledby="map-title">
<defs>${["left-out", "left-out-read-only"].map(
    (kind) =>
      html`<pattern id="hatch-${kind}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" class="hatch ${kind}"/></pattern>`,
  )}</defs>
${gaps(axis).map((gap) => html`<rect class="nothing" ${extent(axis, gap)} y="27" height="2"/>\n`)}
${shown.map((section) => drawSection(axis, section))}
${host.map(
  (range) =>
    html`<rect class="host ${range.kind}" ${extent(axis, range)} y="62" height="20" role="img" tabindex="0" aria-label="${titleOf(range)}"><title>${titleOf(range)}</title></rect>\n`,
)}
${labels(axis).map(
  ({ at, text, from }) =>
    html`<text class="from-${from}" x="${percent(at)}" y="${host.length > 0 ? 104 : 78}">${text}</text>\n`,
)}</svg></div></div>`;
}

/** Where there is nothing; very many gaps have one line behind all sections. */
function gaps(axis: readonly Piece[]): readonly IovaRange[] {
  const empty = axis.filter((piece) => piece.empty);
  const [first, last] = [axis[0], axis.at(-1)];
  return empty.length > MOST_GAPS && first && last ? [{ start: first.start, last: last.last }] : empty;
}

function drawSection(axis: readonly Piece[], section: ShownSection): Markup {
  const { row, kind, title } = section;
  return html`<a href="#${row}" data-row="${row}" aria-label="${title}"><rect class="${kind}" ${extent(axis, section)} y="4" height="48"/><title>${title}</title></a>\n`;
}

function titleOf({ kind, start, last }: Drawn<HostKind>): string {
  return `${HOST_TITLES[kind]}: ${formatRange(start, last)}, ${formatLength(last - start + 1n)}`;
}

/** Ranges begin and end where pieces do. */
function extent(axis: readonly Piece[], { start, last }: IovaRange): Markup {
  const from = pieceAt(axis, start).from;
  const to = pieceAt(axis, last).to;
  return html`x="${percent(from)}" width="${percent(to - from)}"`;
}

/** The piece that has an address. */
export function pieceAt(axis: readonly Piece[], address: bigint): Piece {
  let low = 0;
  let high = axis.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((axis[middle] as Piece).start <= address) low = middle;
    else high = middle - 1;
  }
  return axis[low] as Piece;
}

/** An address below the drawing. */
interface Label {
  readonly at: number;
  readonly text: string;
  /** How wide the drawing has to be for it, in pixels. */
  readonly from: number;
}

/** The addresses where pieces begin, for each width as many as do not overlap. */
function labels(axis: readonly Piece[]): Label[] {
  const found = new Map<Piece, Label>();
  for (const width of WIDTHS) {
    const size = (text: string) => (text.length * CHARACTER + LABEL_GAP) / width;
    let free = 0;
    let next = nextFound(axis, found, 0);
    for (const [index, piece] of axis.entries()) {
      const there = found.get(piece);
      if (there !== undefined) {
        free = piece.from + size(there.text);
        next = nextFound(axis, found, index + 1);
        continue;
      }
      const text = formatAddress(piece.start);
      const end = piece.from + size(text);
      if (piece.from < free || end > (next ?? 1 + LABEL_GAP / width)) continue;
      found.set(piece, { at: piece.from, text, from: width });
      free = end;
    }
  }
  return axis.flatMap((piece) => found.get(piece) ?? []);
}

/** Where the next address begins that a narrower drawing has already. */
function nextFound(
  axis: readonly Piece[],
  found: ReadonlyMap<Piece, Label>,
  from: number,
): number | undefined {
  for (let index = from; index < axis.length; index++) {
    const label = found.get(axis[index] as Piece);
    if (label !== undefined) return label.at;
  }
  return undefined;
}

function percent(part: number): string {
  return `${Number((part * 100).toFixed(4))}%`;
}
