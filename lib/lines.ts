/** Text line by line, in memory that does not grow with it. */

/** The longest line that is told whole, in UTF-16 units. Nothing that is read here has longer ones. */
const LONGEST_LINE = 1 << 16;

/**
 * Passes on the lines of a text that comes in pieces, without their ends: line feeds, or carriage returns in a text
 * without line feeds. A line of more than 65,536 characters is cut. The rest after the last line end is a line only if
 * it is more than white space: it may be the beginning of one that was cut.
 *
 * @throws what `tell` throws, or the stream
 */
export async function eachLine(chunks: AsyncIterable<string>, tell: (line: string) => void): Promise<void> {
  let line = "";
  for await (const chunk of withLineFeeds(chunks)) {
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

/** The lines of a text. */
export function linesOf(text: string): string[] {
  return text.split(endsInReturns(text) ? "\r" : "\n");
}

/** Makes carriage returns line feeds where they alone end lines. The first line shows which. */
async function* withLineFeeds(chunks: AsyncIterable<string>): AsyncGenerator<string, void> {
  let beginning: string | undefined = "";
  let inReturns = false;
  const fed = (text: string) => (inReturns ? text.replaceAll("\r", "\n") : text);
  for await (const chunk of chunks) {
    if (beginning === undefined) {
      yield fed(chunk);
      continue;
    }
    beginning += chunk;
    if (beginning.length < LONGEST_LINE && !beginning.includes("\n")) continue;
    inReturns = endsInReturns(beginning);
    yield fed(beginning);
    beginning = undefined;
  }
  if (beginning === undefined) return;
  inReturns = endsInReturns(beginning);
  yield fed(beginning);
}

/** A carriage return at the very end may be half of CR LF. */
function endsInReturns(text: string): boolean {
  const first = text.indexOf("\r");
  return first >= 0 && first < text.length - 1 && !text.includes("\n");
}

function cut(chunk: string, start: number, end: number, before: number): string {
  return chunk.slice(start, Math.min(end, start + LONGEST_LINE - before));
}
