/** `iommufd doctor` on the machine whose devices share an IOMMU group: IOMMUFD_TEST_MACHINE=shared-group. */

import { expect, it } from "vitest";
import { iommufd } from "../e2e/command.ts";

it.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "shared-group")(
  "doctor says what shares the group, and which bridge is the reason",
  () => {
    const { status, stdout } = iommufd(["doctor"]);
    expect(status).toBe(0);
    expect(stdout).toContain(
      "\nwarn  0000:01:01.0        shares IOMMU group 3 with 0000:01:02.0 (vfio-pci)\n",
    );
    expect(stdout).toContain("\nwarn  0000:01:01.0        ACS is not on at 0000:00:05.0, above it\n");
  },
);
