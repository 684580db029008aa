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

/** How much of the width an address below needs, from 0 to 1. */
const LABEL_WIDTH = 0.11;

/** How narrow a piece may get, in pixels, before the drawing gets wider than the page. */
const NARROWEST = 6;

/** @param shown for each section of the guest, in order, what to say of it */
export function drawSvg({ host, axis }: AddressMap, shown: readonly ShownSection[]): Markup {
  const narrowest = axis.reduce((least, { from, to }) => Math.min(least, to - from), 1);
  const narrow = Math.ceil(NARROWEST / narrowest);
  // Not wider than a few screens, however many sections there are.
  const width = narrow > 900 ? Math.min(narrow, 8000) : "100%";
  return html`<svg class="map" width="${width}" height="${host.length > 0 ? 118 : 90}" role="group" aria-labelledby="map-title">
<defs>${["left-out", "left-out-read-only"].map(
    (kind) =>
      html`<pattern id="hatch-${kind}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" class="hatch ${kind}"/></pattern>`,
  )}</defs>
${axis.filter(({ empty }) => empty).map((piece) => html`<rect class="nothing" ${extent(axis, piece)} y="27" height="2"/>\n`)}
${shown.map((section) => drawSection(axis, section))}
${host.map(
  (range) =>
    html`<rect class="host ${range.kind}" ${extent(axis, range)} y="62" height="20" role="img" tabindex="0" aria-label="${titleOf(range)}"><title>${titleOf(range)}</title></rect>\n`,
)}
${labels(axis).map(
  ({ at, text }) => html`<text x="${percent(at)}" y="${host.length > 0 ? 104 : 78}">${text}</text>\n`,
)}</svg>`;
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

function pieceAt(axis: readonly Piece[], address: bigint): Piece {
  let low = 0;
  let high = axis.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((axis[middle] as Piece).start <= address) low = middle;
    else high = middle - 1;
  }
  return axis[low] as Piece;
}

function labels(axis: readonly Piece[]): { at: number; text: string }[] {
  let free = 0;
  return axis.flatMap(({ start, from }) => {
    if (from < free || from > 1 - LABEL_WIDTH) return [];
    free = from + LABEL_WIDTH;
    return [{ at: from, text: formatAddress(start) }];
  });
}

function percent(part: number): string {
  return `${Number((part * 100).toFixed(4))}%`;
}
