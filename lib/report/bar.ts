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
    const ranks = pieceRanks(axis, drawn, Object.keys(glyphs));
    const order = Object.values<string>(glyphs);
    const first = ({ from, to }: Column) =>
      ranks.subarray(from, to).reduce((least, rank) => Math.min(least, rank), NOTHING);
    return columns.map((column) => order[first(column)] ?? nothing).join("");
  };
  return [
    lane(guest, GUEST, "."),
    ...(host.length === 0 ? [] : [lane(host, HOST, " ").trimEnd()]),
    formatScale(axis, columns, width),
    "# mapped  r mapped read-only  o left out as read-only  - left out otherwise",
    `${host.length === 0 ? "" : "x the host maps nothing there  "}. nothing; widths are logarithmic`,
  ];
}

/** The pieces that a column of the bar shows. */
interface Column {
  /** The index of the first. */
  readonly from: number;
  /** The index behind the last. */
  readonly to: number;
}

/** The columns: each piece has one of its own where there are enough. */
function spread(axis: readonly Piece[], width: number): Column[] {
  if (axis.length > width) {
    const first = (column: number) => Math.floor((column * axis.length) / width);
    return Array.from({ length: width }, (_, column) => ({ from: first(column), to: first(column + 1) }));
  }
  const spare = width - axis.length;
  return axis.flatMap((piece, index) => {
    const more = Math.round(spare * piece.to) - Math.round(spare * piece.from);
    return Array.from({ length: 1 + more }, () => ({ from: index, to: index + 1 }));
  });
}

/** The rank of a piece without a use. */
const NOTHING = 0xff;

/**
 * For each piece the rank of its use: its place among the uses that there are.
 *
 * Ranges begin and end where pieces do, and do not overlap.
 */
function pieceRanks(
  axis: readonly Piece[],
  drawn: readonly Drawn<string>[],
  uses: readonly string[],
): Uint8Array {
  const ranks = new Uint8Array(axis.length).fill(NOTHING);
  let next = 0;
  for (const [index, piece] of axis.entries()) {
    while ((drawn[next]?.last ?? piece.last) < piece.start) next++;
    const range = drawn[next];
    if (range !== undefined && range.start <= piece.start) ranks[index] = uses.indexOf(range.kind);
  }
  return ranks;
}

/** The addresses at which pieces begin, as many as there is room for. */
function formatScale(axis: readonly Piece[], columns: readonly Column[], width: number): string {
  let line = "";
  for (const [column, { from }] of columns.entries()) {
    const label = formatAddress(axis[from]?.start ?? 0n);
    const begins = column === 0 || columns[column - 1]?.from !== from;
    const fits = line === "" || column >= line.length + 2;
    if (begins && fits && column + label.length <= width) line = line.padEnd(column) + label;
  }
  return line;
}
