/**
 * Reads the memory sections of one address space, from whichever of the known forms a text has.
 */

import type { MemorySection } from "../container/section.ts";
import { IommufdError } from "../errors.ts";
import { findFlatView, parseFlatViews } from "./mtree.ts";
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
  if (!/^\s*[{[]/.test(text))
    return findFlatView(parseFlatViews(text, source), addressSpace, source).sections;
  const list = parseSectionList(text, source);
  if (list.addressSpace !== addressSpace) {
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${source}: no address space ${JSON.stringify(addressSpace)}; there is ${JSON.stringify(list.addressSpace)}`,
    );
  }
  return list.sections;
}
