/** Arguments of mapping and unmapping, in the order that the kernel checks them. */

import { IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE } from "../uapi.ts";
import type { Permission } from "./address-space.ts";
import { Refusal } from "./refusal.ts";

const U64_MAX = (1n << 64n) - 1n;
const KNOWN = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;

/** iommufd_ioas_map(), iommufd_ioas_copy(): unknown flags, then what overflows, then that nothing is allowed. */
export function checkMapFlags(flags: number, ...values: bigint[]): Permission {
  if (flags & ~KNOWN) throw new Refusal("EOPNOTSUPP");
  if (values.some((value) => value >= U64_MAX)) throw new Refusal("EOVERFLOW");
  const readable = (flags & IOMMU_IOAS_MAP_READABLE) !== 0;
  const writeable = (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0;
  if (!readable && !writeable) throw new Refusal("EINVAL");
  return { readable, writeable };
}

/** iommufd_ioas_unmap(): the last address of the range. */
export function checkUnmapRange(iova: bigint, length: bigint): bigint {
  if (iova >= U64_MAX || length >= U64_MAX) throw new Refusal("EOVERFLOW");
  if (length === 0n) throw new Refusal("EINVAL");
  const last = iova + length - 1n;
  if (last > U64_MAX) throw new Refusal("EOVERFLOW");
  return last;
}
