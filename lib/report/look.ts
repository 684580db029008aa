/** How texts are shown: in how many columns, and in which colours. */

/** Colours, and what reports say with them. */
export type Colour =
  /** In order. */
  | "green"
  /** To be heeded. */
  | "yellow"
  /** Refused, failed. */
  | "red"
  /** Not known. */
  | "gray";

/** Where a text is shown. */
export interface Look {
  /** How wide a line may be, in columns. */
  readonly width: number;
  readonly paint: (colour: Colour, text: string) => string;
}

/** A text that no terminal shows. */
export const PLAIN: Look = { width: 120, paint: (_colour, text) => text };
