/** Text line by line, in memory that does not grow with it. */

/** The longest line that is told whole, in UTF-16 units. Nothing that is read here has longer ones. */
export const LONGEST_LINE = 1 << 16;

/** The lines of a text that comes in pieces, without what ends them. What is longer than {@link LONGEST_LINE} is cut. */
export async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string, void> {
  let line = "";
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
      yield line + cut(chunk, start, end, line.length);
      line = "";
      start = end + 1;
    }
    line += cut(chunk, start, chunk.length, line.length);
  }
  yield line;
}

function cut(chunk: string, start: number, end: number, before: number): string {
  return chunk.slice(start, Math.min(end, start + LONGEST_LINE - before));
}
