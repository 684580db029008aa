/** Many requests in one call, one after the other, of a backend that has no call for many. */

import { outOfRange } from "../errors.ts";
import type { IoasId } from "../uapi.ts";
import type { BatchStatus, RawIommufdFile } from "./raw.ts";
import type { IoasMapManyRequest } from "./requests.ts";

/** The methods for one thing. */
export type SingleCalls = Pick<RawIommufdFile, "ioasMapSync" | "ioasUnmapSync" | "assertOpen">;

/** Maps until one is refused, and by choice takes those before it back. */
export function mapMany(file: SingleCalls, request: IoasMapManyRequest): BatchStatus {
  const { ioasId, flags, memory, iovas, offsets, lengths, rollBack } = request;
  file.assertOpen?.();
  for (const [index, offset] of offsets.entries()) {
    if (offset + (lengths[index] as bigint) > memory.length)
      throw outOfRange(`the range at index ${index}`, "within the memory", offset);
  }
  const outcome = batch(iovas.length, (index) =>
    file.ioasMapSync({
      ioasId,
      flags,
      memory,
      offset: offsets[index] as bigint,
      length: lengths[index] as bigint,
      iova: iovas[index] as bigint,
    }),
  );
  if (outcome.status < 0 && rollBack) {
    // Refused ranges stay mapped: there is nobody to report to.
    for (let index = outcome.done - 1; index >= 0; index--)
      file.ioasUnmapSync(ioasId, iovas[index] as bigint, lengths[index] as bigint);
  }
  return outcome;
}

/** Unmaps until one is refused. */
export function unmapMany(
  file: SingleCalls,
  ioasId: IoasId,
  iovas: BigUint64Array,
  lengths: BigUint64Array,
): BatchStatus {
  file.assertOpen?.();
  return batch(iovas.length, (index) =>
    file.ioasUnmapSync(ioasId, iovas[index] as bigint, lengths[index] as bigint),
  );
}

/** Handles one index after the other, until one is refused. */
function batch(count: number, handle: (index: number) => bigint | number): BatchStatus {
  for (let done = 0; done < count; done++) {
    const answer = handle(done);
    if (typeof answer === "number") return { done, status: answer };
  }
  return { done: count, status: 0 };
}
