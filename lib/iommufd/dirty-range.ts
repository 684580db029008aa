import { type ByteCount, checkByteCount, checkU64 } from "../arguments.ts";
import { outOfRange } from "../errors.ts";

/**
 * Checks a range of IOVAs of which dirty pages are asked. The kernel takes the lowest set bit of a page size that is
 * not a power of two, and a length of 0 for 2^64 (drivers/iommu/iommufd/iova_bitmap.c).
 *
 * @returns the same as bigints
 */
export function checkDirtyRange({
  iova,
  length,
  pageSize,
}: {
  iova: bigint;
  length: ByteCount;
  pageSize: ByteCount;
}): { iova: bigint; length: bigint; pageSize: bigint } {
  checkU64(iova, "iova");
  const bytes = checkByteCount(length, "length");
  if (bytes === 0n) throw outOfRange("length", "at least a page", length);
  const page = checkByteCount(pageSize, "pageSize");
  if (page === 0n || page & (page - 1n)) throw outOfRange("pageSize", "a power of two", pageSize);
  return { iova, length: bytes, pageSize: page };
}
