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
  const outcome = batch([iovas, offsets, lengths], (iova = 0n, offset = 0n, length = 0n) =>
    file.ioasMapSync({ ioasId, flags, memory, offset, length, iova }),
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
  return batch([iovas, lengths], (iova = 0n, length = 0n) => file.ioasUnmapSync(ioasId, iova, length));
}

/** Handles what is at each index of the arrays, until one is refused. */
function batch(
  arrays: readonly BigUint64Array[],
  handle: (...values: (bigint | undefined)[]) => bigint | number,
): BatchStatus {
  const count = arrays[0]?.length ?? 0;
  for (let done = 0; done < count; done++) {
    const answer = handle(...arrays.map((array) => array[done]));
    if (typeof answer === "number") return { done, status: answer };
  }
  return { done: count, status: 0 };
}
