/**
 * Reads the memory sections of one address space, from whichever of the known forms a text has.
 */

import { checkOptions, knownOptions } from "../arguments.ts";
import { IommufdError, invalidType } from "../errors.ts";
import { eachLine, linesOf } from "../lines.ts";
import type { MemorySection } from "../section.ts";
import { type FlatView, FlatViewReader, findFlatView } from "./mtree.ts";
import { parseSectionList } from "./section-list.ts";

/** How a text is read. */
export interface MemoryMapOptions {
  /** Name of the address space whose sections are wanted: the one that the devices see. Default "memory". */
  addressSpace?: string | undefined;
  /** Name of the text in errors: a file name. Default "memory map". */
  source?: string | undefined;
  /**
   * Told what shows that a flat view is not all that QEMU printed: "guest.mtree:8: it ends within a flat view". Then what
   * there is of it is returned. Default: it is an error, for sections that are missing make another plan.
   */
  onDamage?: ((damage: string) => void) | undefined;
}

const MEMORY_MAP_OPTIONS = knownOptions<MemoryMapOptions>({
  addressSpace: "other",
  source: "other",
  onDamage: "other",
});

/** The options, with what is left out. */
function complete(options: MemoryMapOptions): MemoryMapOptions & { addressSpace: string; source: string } {
  const {
    addressSpace = "memory",
    source = "memory map",
    onDamage,
  } = checkOptions(options, MEMORY_MAP_OPTIONS);
  for (const [name, value] of Object.entries({ addressSpace, source }))
    if (typeof value !== "string") throw invalidType(name, "a string", value);
  return { addressSpace, source, onDamage };
}

/**
 * The sections of an address space.
 *
 * @param text what QEMU prints for `info mtree -f`, or a JSON section list. With what it prints for `info mtree` after that,
 *   what is behind read-only sections is known for certain ({@link MemorySection.typeIsAssumed}).
 * @throws IommufdError ERR_IOMMUFD_INPUT: the text cannot be read, with line or path; it is not whole; it has no such
 *   address space, and which it has; or the address space has no sections
 */
export function readMemoryMap(text: string, options: MemoryMapOptions = {}): readonly MemorySection[] {
  const { addressSpace, source, onDamage } = complete(options);
  if (typeof text !== "string") throw invalidType("text", "a string", text);
  if (startsJson(text)) return sectionsOfList(text, addressSpace, source);
  const reader = new FlatViewReader(source, addressSpace);
  reader.pushAll(linesOf(text));
  return sectionsOfView(reader.end(), addressSpace, source, onDamage);
}

/**
 * The same of a text that comes in pieces. Only the wanted sections of flat views are kept, so that the text may be
 * larger than the memory. A JSON section list is read whole.
 *
 * @param chunks the text: a stream with an encoding
 * @throws IommufdError ERR_IOMMUFD_INPUT: as {@link readMemoryMap}
 * @throws what the stream fails with
 */
export async function readMemoryMapFrom(
  chunks: AsyncIterable<string>,
  options: MemoryMapOptions = {},
): Promise<readonly MemorySection[]> {
  const { addressSpace, source, onDamage } = complete(options);
  const reader = new FlatViewReader(source, addressSpace);
  const json: string[] = [];
  await eachLine(untilJson(chunks, json), (line) => reader.push(line));
  if (json.length > 0) return sectionsOfList(json.join(""), addressSpace, source);
  return sectionsOfView(reader.end(), addressSpace, source, onDamage);
}

/** Passes on text other than JSON. If the first character after white space begins JSON, puts all of the text aside. */
async function* untilJson(chunks: AsyncIterable<string>, json: string[]): AsyncGenerator<string, void> {
  let isBlank = true;
  for await (const chunk of chunks) {
    if (json.length > 0 || (isBlank && startsJson(chunk))) json.push(chunk);
    else yield chunk;
    isBlank &&= chunk.trim() === "";
  }
}

/** A byte order mark is white space here. */
function startsJson(text: string): boolean {
  return /^\s*[{[]/.test(text);
}

function sectionsOfView(
  views: readonly FlatView[],
  addressSpace: string,
  source: string,
  onDamage: MemoryMapOptions["onDamage"],
): readonly MemorySection[] {
  const { sections, damage } = findFlatView(views, addressSpace, source);
  if (damage !== undefined) {
    if (onDamage === undefined)
      throw new IommufdError(
        "ERR_IOMMUFD_INPUT",
        `${damage}; sections may be missing: all of what "info mtree -f" prints is needed`,
      );
    onDamage(damage);
  }
  if (sections.length > 0) return sections;
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${source}: the address space ${JSON.stringify(addressSpace)} has no sections, so there is nothing to plan; ` +
      'is it the one that the devices see, and this all that "info mtree -f" printed?',
  );
}

function sectionsOfList(text: string, addressSpace: string, source: string): readonly MemorySection[] {
  const list = parseSectionList(text, source);
  if (list.addressSpace !== addressSpace) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${source}: no address space ${JSON.stringify(addressSpace)}; there is ${JSON.stringify(list.addressSpace)}`,
    );
  }
  return list.sections;
}
