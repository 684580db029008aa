/** A plan as a bar of characters, for a terminal of any kind. */

import type { AddressMap, Drawn, GuestKind, HostKind } from "./address-map.ts";
import type { Piece } from "./axis.ts";
import { formatAddress } from "./text.ts";

/** The letters of the uses. A column with several uses has the letter that comes first here. */
const GUEST: Readonly<Record<GuestKind, string>> = {
  "left-out-read-only": "o",
  "read-only": "r",
  "left-out": "-",
  "read-write": "#",
};
const HOST: Readonly<Record<HostKind, string>> = { reserved: "x", outside: "x" };

/** The bar, its addresses, and what its characters mean, as lines of at most `width` characters. */
export function formatBar({ guest, host, axis }: AddressMap, width: number): string[] {
  const columns = spread(axis, width);
  const lane = <Kind extends string>(
    drawn: readonly Drawn<Kind>[],
    glyphs: Readonly<Record<Kind, string>>,
    nothing: string,
  ) => {
    const glyphOf = pieceGlyphs(axis, drawn, glyphs);
    const order = Object.values<string>(glyphs);
    return columns
      .map((pieces) => {
        const there = new Set(pieces.map((piece) => glyphOf.get(piece)));
        return order.find((glyph) => there.has(glyph)) ?? nothing;
      })
      .join("");
  };
  return [
    lane(guest, GUEST, "."),
    ...(host.length === 0 ? [] : [lane(host, HOST, " ").trimEnd()]),
    formatScale(columns, width),
    "# mapped  r mapped read-only  o left out as read-only  - left out otherwise",
    `${host.length === 0 ? "" : "x the host maps nothing there  "}. nothing; widths are logarithmic`,
  ];
}

/** For each column the pieces that it shows: each piece has a column of its own where there are enough. */
function spread(axis: readonly Piece[], width: number): Piece[][] {
  if (axis.length > width) {
    const first = (column: number) => Math.floor((column * axis.length) / width);
    return Array.from({ length: width }, (_, column) => axis.slice(first(column), first(column + 1)));
  }
  const spare = width - axis.length;
  return axis.flatMap((piece) => {
    const more = Math.round(spare * piece.to) - Math.round(spare * piece.from);
    return Array.from({ length: 1 + more }, () => [piece]);
  });
}

/** Ranges begin and end where pieces do, and do not overlap. */
function pieceGlyphs<Kind extends string>(
  axis: readonly Piece[],
  drawn: readonly Drawn<Kind>[],
  glyphs: Readonly<Record<Kind, string>>,
): Map<Piece, string> {
  const found = new Map<Piece, string>();
  let next = 0;
  for (const piece of axis) {
    while ((drawn[next]?.last ?? piece.last) < piece.start) next++;
    const range = drawn[next];
    if (range !== undefined && range.start <= piece.start) found.set(piece, glyphs[range.kind]);
  }
  return found;
}

/** The addresses at which pieces begin, as many as there is room for. */
function formatScale(columns: readonly (readonly Piece[])[], width: number): string {
  let line = "";
  for (const [column, pieces] of columns.entries()) {
    const label = formatAddress(pieces[0]?.start ?? 0n);
    const begins = column === 0 || columns[column - 1]?.[0] !== pieces[0];
    const fits = line === "" || column >= line.length + 2;
    if (begins && fits && column + label.length <= width) line = line.padEnd(column) + label;
  }
  return line;
}
