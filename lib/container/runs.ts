/** Mappings that go to the kernel in one call. */

import type { DmaMemory } from "../iommufd/dma-memory.ts";
import type { Ioas } from "../iommufd/ioas.ts";
import type { PlannedMapping } from "./plan.ts";

/** Neighbours of a plan, of one memory and with the same permissions. */
export interface Run {
  readonly memory: DmaMemory;
  readonly mappings: PlannedMapping[];
}

/**
 * Divides mappings into runs. RAM of a device is a run of its own: that the kernel cannot map it does not count as a
 * failure.
 */
export function runsOf(
  mappings: readonly PlannedMapping[],
  memoryOf: (mapping: PlannedMapping) => DmaMemory,
): Run[] {
  const runs: Run[] = [];
  let run: Run | undefined;
  for (const mapping of mappings) {
    const memory = memoryOf(mapping);
    const first = run?.mappings[0];
    const isAlike =
      run?.memory === memory &&
      first?.readonly === mapping.readonly &&
      !first.ramDevice &&
      !mapping.ramDevice;
    if (run !== undefined && isAlike) {
      run.mappings.push(mapping);
    } else {
      run = { memory, mappings: [mapping] };
      runs.push(run);
    }
  }
  return runs;
}

/**
 * Makes the mappings of a run, up to the first that is refused.
 *
 * @returns how many were made; why the next was refused, mapping that only this one reports
 */
export async function mapRun(ioas: Ioas, { memory, mappings }: Run): Promise<number> {
  const column = () => new BigUint64Array(mappings.length);
  const ranges = { iovas: column(), lengths: column(), offsets: column() };
  for (const [index, { iova, length, offsetInRegion }] of mappings.entries()) {
    ranges.iovas[index] = iova;
    ranges.lengths[index] = length;
    ranges.offsets[index] = offsetInRegion;
  }
  try {
    await ioas.mapMany(memory, ranges, { writable: !mappings[0]?.readonly, rollBack: false });
    return mappings.length;
  } catch (error) {
    const { request } = error as { request?: { index?: number } };
    return request?.index ?? 0;
  }
}
