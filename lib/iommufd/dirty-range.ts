import { checkU64 } from "../arguments.ts";
import { outOfRange } from "../errors.ts";

/**
 * Checks a range of IOVAs of which dirty pages are asked. The kernel takes the lowest set bit of a page size that is
 * not a power of two, and a length of 0 for 2^64 (drivers/iommu/iommufd/iova_bitmap.c).
 */
export function checkDirtyRange({
  iova,
  length,
  pageSize,
}: {
  iova: bigint;
  length: bigint;
  pageSize: bigint;
}): void {
  checkU64(iova, "iova");
  if (checkU64(length, "length") === 0n) throw outOfRange("length", "at least a page", length);
  if (checkU64(pageSize, "pageSize") === 0n || pageSize & (pageSize - 1n))
    throw outOfRange("pageSize", "a power of two", pageSize);
}
