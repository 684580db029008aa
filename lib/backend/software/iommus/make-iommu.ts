/** Which driver is for which IOMMU. */

import type { IommuProfile } from "../profile.ts";
import { AmdIommu } from "./amd.ts";
import type { Iommu } from "./iommu.ts";
import { SelftestIommu } from "./selftest.ts";
import { SilentIommu } from "./silent.ts";
import { Smmuv3Iommu } from "./smmuv3.ts";
import { VtdIommu } from "./vtd.ts";

/** The model of an IOMMU. */
export function makeIommu(profile: IommuProfile): Iommu {
  const { hwInfo } = profile;
  switch (hwInfo.type) {
    case "intel-vtd":
      return new VtdIommu(profile, hwInfo);
    case "arm-smmuv3":
      return new Smmuv3Iommu(profile, hwInfo);
    case "amd":
      return new AmdIommu(profile, hwInfo);
    case "selftest":
      return new SelftestIommu(profile);
    case "none":
      return new SilentIommu(profile);
  }
}
