/**
 * Memory sections as JSON, for VMMs other than QEMU.
 *
 * ```json
 * {"schema":"iommufd.sections/1","addressSpace":"memory","sections":[
 *   {"start":"0x0","last":"0xbffff","type":"ram","region":"pc.ram"},
 *   {"start":"0xe0000","last":"0xfffff","type":"ram","readonly":true,"region":"pc.bios","offsetInRegion":"0x20000"}]}
 * ```
 */

import { readJson, u64 } from "../json.ts";
import { schema } from "../lazy.ts";
import { LIST_LIMIT } from "../limits.ts";
import type { MemorySection } from "../section.ts";

const sectionList = schema((z) => {
  const section = z
    .strictObject({
      start: u64(),
      last: u64(),
      type: z.enum(["ram", "ram-device", "other"]),
      region: z.string(),
      offsetInRegion: u64().default(0n),
      readonly: z.boolean().default(false),
      protected: z.boolean().default(false),
    })
    .refine(({ start, last }) => start <= last, { error: "last must not be before start" });

  return z.strictObject({
    schema: z.literal("iommufd.sections/1"),
    addressSpace: z.string().default("memory"),
    sections: z
      .array(section)
      .min(1, { error: "must not be empty: there would be nothing to plan" })
      .max(LIST_LIMIT, { error: `must not have more than ${LIST_LIMIT} sections` }),
  });
});

/** A section list as JSON has it. */
export interface SectionList {
  /** Which address space of the VM: "memory". */
  readonly addressSpace: string;
  /** By address. */
  readonly sections: readonly MemorySection[];
}

/**
 * Reads a section list.
 *
 * @param source what to call the text in errors: a file name
 * @throws IommufdError ERR_IOMMUFD_INPUT, with the path of the field
 */
export function parseSectionList(text: string, source: string): SectionList {
  const { addressSpace, sections } = readJson(text, sectionList(), source);
  return {
    addressSpace,
    sections: sections.map(({ last, ...rest }) => ({ ...rest, size: last - rest.start + 1n })),
  };
}
