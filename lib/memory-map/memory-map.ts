/**
 * Reads the memory sections of one address space, from whichever of the known forms a text has.
 */

import type { MemorySection } from "../container/section.ts";
import { IommufdError } from "../errors.ts";
import { eachLine } from "../lines.ts";
import { FlatViewReader, findFlatView, parseFlatViews } from "./mtree.ts";
import { parseSectionList } from "./section-list.ts";

/**
 * The sections of an address space.
 *
 * @param text what QEMU prints for `info mtree -f`, or a JSON section list
 * @param addressSpace its name
 * @param source what to call the text in errors: a file name
 * @throws IommufdError ERR_IOMMUFD_INPUT: the text cannot be read, with line or path; or it has no such address
 *   space, and which it has
 */
export function readMemoryMap(text: string, addressSpace: string, source: string): readonly MemorySection[] {
  if (startsJson(text)) return sectionsOf(text, addressSpace, source);
  return findFlatView(parseFlatViews(text, source), addressSpace, source).sections;
}

/**
 * The same of a text that comes in pieces. Of flat views no more is kept than the sections that were asked for, so that the
 * text may be larger than the memory; a JSON section list is read whole.
 *
 * @param chunks the text: a stream with an encoding
 * @throws IommufdError ERR_IOMMUFD_INPUT: as {@link readMemoryMap}
 * @throws what the stream fails with
 */
export async function readMemoryMapFrom(
  chunks: AsyncIterable<string>,
  addressSpace: string,
  source: string,
): Promise<readonly MemorySection[]> {
  const reader = new FlatViewReader(source, addressSpace);
  const json: string[] = [];
  await eachLine(untilJson(chunks, json), (line) => reader.push(line));
  if (json.length > 0) return sectionsOf(json.join(""), addressSpace, source);
  return findFlatView(reader.end(), addressSpace, source).sections;
}

/** Passes on what is no JSON, and puts all of it aside where the first character that is none of white space begins some. */
async function* untilJson(chunks: AsyncIterable<string>, json: string[]): AsyncGenerator<string, void> {
  let isBlank = true;
  for await (const chunk of chunks) {
    if (json.length > 0 || (isBlank && startsJson(chunk))) json.push(chunk);
    else yield chunk;
    isBlank &&= chunk.trim() === "";
  }
}

function startsJson(text: string): boolean {
  return /^\s*[{[]/.test(text);
}

function sectionsOf(text: string, addressSpace: string, source: string): readonly MemorySection[] {
  const list = parseSectionList(text, source);
  if (list.addressSpace !== addressSpace) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${source}: no address space ${JSON.stringify(addressSpace)}; there is ${JSON.stringify(list.addressSpace)}`,
    );
  }
  return list.sections;
}
