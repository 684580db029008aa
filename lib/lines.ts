/** Text line by line, in memory that does not grow with it. */

/** The longest line that is told whole, in UTF-16 units. Nothing that is read here has longer ones. */
const LONGEST_LINE = 1 << 16;

/**
 * Tells the lines of a text that comes in pieces, without what ends them. What is longer than 65,536 characters is cut. What
 * follows the last line end is a line only if it is more than white space: it may be the beginning of one that was cut.
 *
 * @throws what `tell` throws, or the stream
 */
export async function eachLine(chunks: AsyncIterable<string>, tell: (line: string) => void): Promise<void> {
  let line = "";
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
      tell(line + cut(chunk, start, end, line.length));
      line = "";
      start = end + 1;
    }
    line += cut(chunk, start, chunk.length, line.length);
  }
  if (line.trim() !== "") tell(line);
}

function cut(chunk: string, start: number, end: number, before: number): string {
  return chunk.slice(start, Math.min(end, start + LONGEST_LINE - before));
}
