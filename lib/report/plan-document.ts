/** Reads what `iommufd plan --json` wrote. */

import { byStart, SKIP_REASONS } from "../container/plan.ts";
import type { PlannedRange } from "../container/plan-diff.ts";
import { IommufdError } from "../errors.ts";
import { readJson, u64 } from "../json.ts";
import { schema } from "../lazy.ts";
import { type Origin, originFields } from "../origin.ts";
import { formatAddress, formatRange } from "./text.ts";

/** The fields that are read; others may come with later releases, and earlier ones did not say who answered. */
const document = schema((z) =>
  z.object({
    ...originFields().partial().shape,
    memoryMap: z.object({ damage: z.string().nullable() }).optional(),
    schema: z.literal("iommufd.plan/1"),
    addressSpace: z.string(),
    pageSize: z.int().positive(),
    nesting: z.boolean(),
    bypassRo: z.boolean(),
    map: z.array(
      z
        .object({
          iova: u64(),
          length: u64(),
          readonly: z.boolean(),
          region: z.string(),
          offsetInRegion: u64(),
          ramDevice: z.boolean(),
        })
        .refine(({ iova, length }) => length > 0n && iova + length <= 1n << 64n, {
          error: "length must be at least 1, and the end within 64 bits",
        }),
    ),
    skipped: z.array(
      z
        .object({ start: u64(), last: u64(), region: z.string(), reason: z.enum(SKIP_REASONS) })
        .refine(({ start, last }) => start <= last, { error: "last must not be before start" }),
    ),
  }),
);

/** A plan as its document has it. */
export interface PlanDocument {
  /** The origin; undefined if an earlier release wrote the plan. */
  readonly origin: Origin | undefined;
  readonly addressSpace: string;
  /** Page size of the host, in bytes. */
  readonly pageSize: number;
  readonly nesting: boolean;
  readonly bypassRo: boolean;
  /**
   * Evidence that the memory map was not whole; undefined if there was none, or if an earlier release wrote the plan.
   */
  readonly damage: string | undefined;
  /** The ranges, mapped or not, by address. */
  readonly ranges: readonly PlannedRange[];
}

/**
 * Reads a plan.
 *
 * @param source what to call the text in errors: a file name
 * @throws IommufdError ERR_IOMMUFD_INPUT: no plan, with the path of the field; it is empty; or two of its ranges overlap
 */
export function readPlanDocument(text: string, source: string): PlanDocument {
  const read = readJson(text, document(), source);
  const { memoryMap, map, skipped, addressSpace, pageSize, nesting, bypassRo } = read;
  const ranges: PlannedRange[] = [
    ...map.map(({ iova, length, ...use }) => ({
      start: iova,
      last: iova + length - 1n,
      use: { mapped: true as const, ...use },
    })),
    ...skipped.map(({ start, last, ...use }) => ({ start, last, use: { mapped: false as const, ...use } })),
  ].sort(byStart);
  if (ranges.length === 0)
    throw new IommufdError(
      "ERR_IOMMUFD_INPUT",
      `${source}: the plan is of no section at all, so there is nothing to compare`,
    );
  for (const [index, { start, last }] of ranges.entries()) {
    const next = ranges[index + 1];
    if (next !== undefined && next.start <= last) {
      throw new IommufdError(
        "ERR_IOMMUFD_INPUT",
        `${source}: the range at ${formatAddress(next.start)} overlaps that of ${formatRange(start, last)}`,
      );
    }
  }
  const damage = memoryMap?.damage ?? undefined;
  return {
    origin: originFields().safeParse(read).data,
    addressSpace,
    pageSize,
    nesting,
    bypassRo,
    damage,
    ranges,
  };
}
