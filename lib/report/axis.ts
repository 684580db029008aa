/**
 * An axis of addresses on which 4 KiB beside 4 TiB can be seen.
 *
 * It is divided at every address where something begins or ends. Each piece is as wide as the logarithm of its length,
 * so that a page has a width of 1 and each doubling adds 1; where there is nothing, the axis is broken: such a piece
 * never gets wider than {@link BREAK}.
 */

import { byStart } from "../container/plan.ts";
import type { IovaRange } from "../uapi.ts";

/** How wide a piece without anything in it gets. */
const BREAK = 4;

/** The addresses between two neighbouring divisions. */
export interface Piece extends IovaRange {
  /** Where it is drawn, from 0 to 1. */
  from: number;
  to: number;
  /** Whether there is anything. */
  readonly empty: boolean;
}

/**
 * Divides the addresses from 0 up to a last one.
 *
 * @param shown what has to be visible; ranges may overlap
 * @param last the last address, at least that of all ranges
 */
export function divideAxis(shown: readonly IovaRange[], last: bigint): Piece[] {
  const ranges = [...shown].sort(byStart);
  const edges = [0n];
  for (const range of ranges) edges.push(range.start, range.last + 1n);
  edges.push(last + 1n);
  edges.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const pieces: Piece[] = [];
  let whole = 0;
  let next = 0;
  // The last address of the ranges that begin at or before the piece at hand.
  let reach = -1n;
  for (let index = 1; index < edges.length; index++) {
    const [start, end] = [edges[index - 1] as bigint, edges[index] as bigint];
    if (start === end) continue;
    for (let range = ranges[next]; range !== undefined && range.start <= start; range = ranges[++next])
      if (range.last > reach) reach = range.last;
    const empty = reach < start;
    const logarithm = Math.max(1, 1 + Math.log2(Number(end - start) / 4096));
    const from = whole;
    whole += empty ? Math.min(logarithm, BREAK) : logarithm;
    pieces.push({ start, last: end - 1n, empty, from, to: whole });
  }
  for (const piece of pieces) {
    piece.from /= whole;
    piece.to /= whole;
  }
  return pieces;
}
