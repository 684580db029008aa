/** A machine with AMD's IOMMU, which in QEMU cannot nest: IOMMUFD_TEST_MACHINE=amd. */

import { describe, expect, it } from "vitest";
import { decodeHwInfo, Iommufd } from "../../lib/index.ts";
import { FIRST as bdf } from "../conformance/backend.ts";
import { iommufd } from "../e2e/command.ts";
import { expectCaptured } from "./captured.ts";

const GUEST = "examples/guest-with-nesting.mtree";

describe.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "amd")("AMD's IOMMU", () => {
  it("tells its extended features", () => {
    using machine = Iommufd.open({ backend: "kernel" });
    using device = machine.openDevice(bdf);
    const info = decodeHwInfo(device.hwInfo());
    expect(info).toMatchObject({ typeId: 4, type: "amd", amd: { efr: 0x29d3n, efr2: 0n } });
    expect(info.amd?.derived).toMatchObject({ guestTranslation: true, nestedTranslation: false });
  });

  it("probe says that no nest parent is made", () => {
    const { status, stdout } = iommufd(["probe", bdf, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).devices).toMatchObject([
      { type: "amd", nestParent: false, erratum772415: false, quirks: [] },
    ]);
    expect(iommufd(["probe", "--format", "nfd"]).stdout).toContain("iommufd.nested-translation=false\n");
  });

  it("plan does not say that this host may nest", () => {
    const { status, stdout } = iommufd(["plan", GUEST, "--device", bdf]);
    expect(status).toBe(0);
    expect(stdout).toContain("guest translation yes, nested translation no, ");
    expect(stdout).toContain("nest parent refused (EOPNOTSUPP)\n");
    expect(stdout).toContain("\n- nested translation is not to be had for this device: ");
    expect(stdout).not.toMatch(/nothing to do|intel_iommu=/);
  });

  it("check says what is missing, of AMD's and not of Intel's", () => {
    const { status, stdout } = iommufd(["check", GUEST, "--device", bdf]);
    expect(status).toBe(3);
    expect(stdout).toContain(
      `\n${bdf}: EOPNOTSUPP, IOMMU_HWPT_ALLOC\n  its IOMMU cannot nest here: AMD's nests only`,
    );
    expect(stdout).not.toMatch(/intel|sm_on/);
    expect(iommufd(["check", GUEST, "--device", bdf, "--no-nesting"]).status).toBe(0);
  });

  it("capture gives the profile that ships, whose model the suites hold against this kernel", () =>
    expectCaptured("qemu-amd"));

  it("doctor says it without opening the device", () => {
    const { status, stdout } = iommufd(["doctor"]);
    expect(status).toBe(3);
    expect(stdout).toMatch(/^fail +nested translation +none of AMD's IOMMUs is able to: ivhd0 /m);
    expect(stdout).toMatch(/^pass +interrupt isolation +interrupts are remapped/m);
    expect(stdout).toMatch(/^pass +erratum +ERRATA_772415_SPR17 is of Intel VT-d, and this is AMD-Vi$/m);
    expect(stdout).not.toMatch(/intel_iommu|VT-d in|scalable mode/);
  });
});
