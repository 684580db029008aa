/** Many requests in one call. */

import { isSystemError, type LinuxErrorCode, outOfRange, systemError } from "../../errors.ts";
import type { IoasId } from "../../uapi.ts";
import type { IommufdFile } from "../backend.ts";
import type { BatchOutcome, IoasMapManyRequest } from "../requests.ts";

/** Maps until one is refused, and by choice takes those before it back. */
export function mapMany(file: IommufdFile, request: IoasMapManyRequest): BatchOutcome {
  const { ioasId, flags, memory, iovas, offsets, lengths, rollBack } = request;
  for (const [index, offset] of offsets.entries()) {
    if (offset + (lengths[index] as bigint) > memory.length)
      throw outOfRange(`the range at index ${index}`, "within the memory", offset);
  }
  const outcome = batch([iovas, offsets, lengths], (iova = 0n, offset = 0n, length = 0n) => {
    file.ioasMapSync({ ioasId, flags, memory, offset, length, iova });
  });
  if (outcome.error !== undefined && rollBack) {
    for (let index = outcome.done - 1; index >= 0; index--) {
      // What is refused stays mapped: there is nobody to tell.
      outcomeOf(() => {
        file.ioasUnmapSync(ioasId, iovas[index] as bigint, lengths[index] as bigint);
        return { done: 1 };
      });
    }
  }
  return outcome;
}

/** Unmaps until one is refused. */
export function unmapMany(
  file: IommufdFile,
  ioasId: IoasId,
  iovas: BigUint64Array,
  lengths: BigUint64Array,
): BatchOutcome {
  return batch([iovas, lengths], (iova = 0n, length = 0n) => {
    file.ioasUnmapSync(ioasId, iova, length);
  });
}

/** Handles what is at each index of the arrays, until one is refused; the error tells its index. */
function batch(
  arrays: readonly BigUint64Array[],
  handle: (...values: (bigint | undefined)[]) => void,
): BatchOutcome {
  const count = arrays[0]?.length ?? 0;
  for (let done = 0; done < count; done++) {
    try {
      handle(...arrays.map((array) => array[done]));
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return { done, error: systemError(error.errno, error.syscall, { index: done, ...error.request }) };
    }
  }
  return { done: count };
}

/** That IOMMU_HWPT_INVALIDATE stopped at an entry. */
export function batchRefusal(done: number, code: LinuxErrorCode): BatchOutcome {
  return { done, error: systemError(code, "IOMMU_HWPT_INVALIDATE", { index: done }) };
}

/** How a call ended that is refused as a whole, or handles many things. */
export function outcomeOf(call: () => BatchOutcome): BatchOutcome {
  try {
    return call();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return { done: 0, error };
  }
}
