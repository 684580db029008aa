/** The sections of a large map, drawn together: more than a drawing has pixels cannot be told apart. */

import { formatLength } from "../../lengths.ts";
import type { IovaRange } from "../../uapi.ts";
import type { GuestKind } from "../address-map.ts";
import type { Piece } from "../axis.ts";
import { formatRange } from "../text.ts";
import { pieceAt, type ShownSection } from "./drawing.ts";

/** How many bands there are at most. */
const MOST_BANDS = 2000;

/** The kind that a band of several kinds is drawn as: the one that nobody must miss. */
const ORDER: readonly (GuestKind | "refused")[] = [
  "refused",
  "left-out-read-only",
  "read-only",
  "left-out",
  "read-write",
];

interface Section extends IovaRange {
  readonly kind: GuestKind | "refused";
  /** Its use: "map read-write". */
  readonly use: string;
}

/** Neighbours as one, each as wide as one of {@link MOST_BANDS} parts of the axis or wider. */
export function bandsOf(axis: readonly Piece[], sections: readonly Section[]): ShownSection[] {
  const bands: { part: number; sections: Section[] }[] = [];
  for (const section of sections) {
    const part = Math.floor(pieceAt(axis, section.start).from * MOST_BANDS);
    const band = bands.at(-1);
    if (band?.part === part) band.sections.push(section);
    else bands.push({ part, sections: [section] });
  }
  return bands.map((band, index) => {
    const [start, last] = [band.sections[0]?.start ?? 0n, band.sections.at(-1)?.last ?? 0n];
    const kinds = new Set(band.sections.map(({ kind }) => kind));
    const uses = [...new Set(band.sections.map(({ use }) => use))].sort().join(", ");
    const title = `${band.sections.length} sections, ${formatRange(start, last)}, ${formatLength(last - start + 1n)}: ${uses}`;
    const kind = ORDER.find((each) => kinds.has(each)) ?? "left-out";
    return { start, last, kind, title, row: `band-${index}` };
  });
}
