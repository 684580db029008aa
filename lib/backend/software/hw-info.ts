/** The model's answer to IOMMU_GET_HW_INFO (drivers/iommu/iommufd/device.c). */

import { HW_CAPABILITY_BITS, type HwInfo, IOMMU_HW_INFO_TYPE_NONE } from "../../uapi.ts";
import type { Iommu } from "./iommus/iommu.ts";
import type { DeviceProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";

/** The hardware information of a device, cut to the room that was offered; `type` is what was asked for. */
export function hwInfo(iommu: Iommu, device: DeviceProfile, capacity: number, type: number): HwInfo {
  const own = iommu.hwInfoType;
  // Each driver has one type; a driver without information is not asked.
  if (own !== IOMMU_HW_INFO_TYPE_NONE && type !== IOMMU_HW_INFO_TYPE_NONE && type !== own)
    throw new Refusal("EOPNOTSUPP");
  const data = iommu.hwInfo();
  return {
    type: own,
    data: data.slice(0, capacity),
    dataLength: data.length,
    maxPasidLog2: device.maxPasidLog2,
    capabilities: device.outCapabilities.reduce(
      (bits, name) => bits | (1n << BigInt(HW_CAPABILITY_BITS[name])),
      0n,
    ),
  };
}
