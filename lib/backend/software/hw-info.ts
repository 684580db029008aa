/** What the model answers to IOMMU_GET_HW_INFO (drivers/iommu/iommufd/device.c, drivers/iommu/intel/iommu.c). */

import {
  HW_CAPABILITY_BITS,
  type HwInfo,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  VTD_FLAG_BITS,
} from "../../uapi.ts";
import type { DeviceProfile, IommuProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";
import { SELFTEST } from "./selftest.ts";

const TYPES: Readonly<Record<IommuProfile["hwInfo"]["type"], number>> = {
  "intel-vtd": IOMMU_HW_INFO_TYPE_INTEL_VTD,
  none: IOMMU_HW_INFO_TYPE_NONE,
  selftest: SELFTEST.hwInfoType,
};

/** The hardware information of a device, cut to the room that was offered; `type` is what was asked for. */
export function hwInfo(iommu: IommuProfile, device: DeviceProfile, capacity: number, type: number): HwInfo {
  const own = TYPES[iommu.hwInfo.type];
  // intel_iommu_hw_info(), mock_domain_hw_info(); a driver that tells nothing is not asked.
  if (own !== IOMMU_HW_INFO_TYPE_NONE && type !== IOMMU_HW_INFO_TYPE_NONE && type !== own)
    throw new Refusal("EOPNOTSUPP");
  const data = hwInfoData(iommu);
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

/** struct iommu_test_hw_info: u32 flags, u32 test_reg. Or struct iommu_hw_info_vtd: flags, reserved, CAP_REG, ECAP_REG, little-endian as on x86. */
function hwInfoData({ hwInfo }: IommuProfile): Uint8Array {
  if (hwInfo.type === "none") return new Uint8Array(0);
  if (hwInfo.type === "selftest") return new Uint8Array(Uint32Array.of(0, SELFTEST.register).buffer);
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(
    0,
    hwInfo.flags.reduce((flags, name) => flags | (1 << VTD_FLAG_BITS[name]), 0),
    true,
  );
  view.setBigUint64(8, hwInfo.capReg, true);
  view.setBigUint64(16, hwInfo.ecapReg, true);
  return new Uint8Array(view.buffer);
}
