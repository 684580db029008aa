/** A pattern for what a document shows of an output: a line "…" stands for any lines that the document leaves out. */
export function elided(shown: string): RegExp {
  const parts = shown.split(/^…\n/m).map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  // Between two parts there are whole lines.
  return new RegExp(`^${parts.join("(?:[^\\n]*\\n)*?")}$`);
}
