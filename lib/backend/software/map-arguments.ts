/** Arguments of mapping and unmapping, in the order that the kernel checks them. */

import { IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE } from "../../uapi.ts";
import { AREA_READABLE, AREA_WRITEABLE } from "./area.ts";
import { Refusal } from "./refusal.ts";

const U64_MAX = (1n << 64n) - 1n;
const KNOWN = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;

/**
 * iommufd_ioas_map(), iommufd_ioas_copy(): unknown flags, then what overflows, then that nothing is allowed. Returns
 * AREA_READABLE and AREA_WRITEABLE as they are asked for.
 */
export function checkMapFlags(flags: number, length: bigint, iova: bigint, sourceIova = 0n): number {
  if (flags & ~KNOWN) throw new Refusal("EOPNOTSUPP");
  if (length >= U64_MAX || iova >= U64_MAX || sourceIova >= U64_MAX) throw new Refusal("EOVERFLOW");
  const permission =
    (flags & IOMMU_IOAS_MAP_READABLE ? AREA_READABLE : 0) |
    (flags & IOMMU_IOAS_MAP_WRITEABLE ? AREA_WRITEABLE : 0);
  if (permission === 0) throw new Refusal("EINVAL");
  return permission;
}

/** iommufd_ioas_unmap(): the last address of the range. */
export function checkUnmapRange(iova: bigint, length: bigint): bigint {
  if (iova >= U64_MAX || length >= U64_MAX) throw new Refusal("EOVERFLOW");
  if (length === 0n) throw new Refusal("EINVAL");
  const last = iova + length - 1n;
  if (last > U64_MAX) throw new Refusal("EOVERFLOW");
  return last;
}
