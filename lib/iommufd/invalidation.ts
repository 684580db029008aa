/**
 * Telling an IOMMU that a guest has changed what it caches.
 */

import { checkU32 } from "../arguments.ts";
import type { IommufdFile } from "../backend/backend.ts";
import { invalidType, outOfRange } from "../errors.ts";
import type { HwptId, ViommuId } from "../uapi.ts";
import type { RawInvalidation } from "./driver-data.ts";

/**
 * IOMMU_HWPT_INVALIDATE, of a nested HWPT or a vIOMMU.
 *
 * @returns how many entries were handled: all
 * @throws SystemError; `request.index` is how many were handled before the one that was refused
 */
export function invalidate(
  file: IommufdFile,
  id: HwptId | ViommuId,
  { type, entryLength, bytes }: RawInvalidation,
): number {
  checkU32(type, "type");
  checkU32(entryLength, "entryLength");
  if (!(bytes instanceof Uint8Array)) throw invalidType("bytes", "a Uint8Array", bytes);
  const count = entryLength === 0 ? 0 : bytes.length / entryLength;
  if (!Number.isInteger(count) || (entryLength === 0 && bytes.length > 0))
    throw outOfRange("bytes", `a multiple of the entry length, ${entryLength}`, bytes.length);
  const { done, error } = file.hwptInvalidate({ id, dataType: type, entryLength, count, entries: bytes });
  if (error !== undefined) throw error;
  return done;
}
