/** Text of whatever encoding editors and shells write: UTF-8 and UTF-16, with a byte order mark or without. */

import { StringDecoder } from "node:string_decoder";

type Encoding = "utf-8" | "utf-16le" | "utf-16be";

/** How many bytes show the encoding. */
const HEAD = 4;

/** The text of a file. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder(encodingOf(bytes)).decode(bytes);
}

/**
 * The text of a stream, piece by piece.
 *
 * @throws what the stream fails with
 */
export async function* decodeChunks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  let head: Uint8Array = new Uint8Array();
  let decode: Decode | undefined;
  for await (const chunk of chunks) {
    if (decode !== undefined) {
      yield decode(chunk);
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < HEAD) continue;
    decode = decoderOf(encodingOf(head));
    yield decode(head).replace(/^\ufeff/, "");
  }
  yield decode === undefined ? decodeText(head) : decode();
}

/** Decodes the next piece, or what is left at the end. */
type Decode = (chunk?: Uint8Array) => string;

/** ASCII that TextDecoder gives takes twice the memory and time of what StringDecoder gives, which knows no UTF-16BE. */
function decoderOf(encoding: Encoding): Decode {
  if (encoding === "utf-16be") {
    const decoder = new TextDecoder(encoding, { ignoreBOM: true });
    return (chunk) => decoder.decode(chunk, { stream: chunk !== undefined });
  }
  const decoder = new StringDecoder(encoding);
  return (chunk) =>
    chunk === undefined
      ? decoder.end()
      : decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
}

/**
 * The mark decides. Without a mark, the places of the zeros decide, because all input here begins with ASCII (RFC 4627,
 * section 3, says the same of JSON).
 */
function encodingOf([first, second, third, fourth]: Uint8Array): Encoding {
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  if (first && second === 0 && third && fourth === 0) return "utf-16le";
  if (first === 0 && second && third === 0 && fourth) return "utf-16be";
  return "utf-8";
}
