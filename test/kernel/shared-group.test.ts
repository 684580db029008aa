/** Reports on the machine whose devices share an IOMMU group: IOMMUFD_TEST_MACHINE=shared-group. */

import { existsSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Iommufd } from "../../lib/index.ts";
import { iommufd, unwrapped } from "../e2e/command.ts";

it.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "shared-group")(
  "EPERM of a device whose group another iommufd has: it says who",
  () => {
    using one = Iommufd.open({ backend: "kernel" });
    using other = Iommufd.open({ backend: "kernel" });
    using _first = one.openDevice("0000:01:01.0");
    expect(() => other.openDevice("0000:01:02.0")).toThrow(
      /^EPERM: .*: another device of its IOMMU group belongs to somebody else: 0000:01:01\.0 \(this process\); or /,
    );
    expect(() => other.openDevice("0000:01:01.0")).toThrow(
      /^EINVAL: .*: another program has it: this process$/,
    );
  },
);

it.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "shared-group")(
  "doctor says what shares the group, and which bridge is the reason",
  () => {
    const { status, stdout } = iommufd(["doctor"]);
    expect(status).toBe(0);
    expect(unwrapped(stdout)).toMatch(
      /^warn +0000:01:01\.0 +shares IOMMU group 3 with 0000:01:02\.0 \(vfio-pci\)$/m,
    );
    // QEMU's bridge is of conventional PCI, and so ACS is not to blame.
    expect(unwrapped(stdout)).toMatch(
      /^warn +0000:01:01\.0 +is below 0000:00:05\.0, a bridge to conventional PCI, which speaks for all below it$/m,
    );
    expect(stdout).not.toContain("ACS");
  },
);

/** Linux 6.12 of the lane has no such driver. */
const hasStub = existsSync("/sys/bus/pci/drivers/pci-stub");

it.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "shared-group" && hasStub)(
  "pci-stub leaves DMA alone: a device may be bound beside one that it has, and doctor warns",
  () => {
    const give = (driver: string) => {
      writeFileSync("/sys/bus/pci/devices/0000:01:02.0/driver_override", driver);
      writeFileSync("/sys/bus/pci/devices/0000:01:02.0/driver/unbind", "0000:01:02.0");
      writeFileSync("/sys/bus/pci/drivers_probe", "0000:01:02.0");
    };
    give("pci-stub");
    try {
      const { status, stdout } = iommufd(["doctor"]);
      expect(status).toBe(0);
      expect(unwrapped(stdout)).toMatch(
        /^warn +0000:01:01\.0 +shares IOMMU group 3 with 0000:01:02\.0 \(pci-stub\)$/m,
      );
      using machine = Iommufd.open({ backend: "kernel" });
      machine.openDevice("0000:01:01.0").close();
    } finally {
      give("vfio-pci");
    }
  },
);
