/** A machine with AMD's IOMMU, which in QEMU cannot nest: IOMMUFD_TEST_MACHINE=amd. */

import { describe, expect, it } from "vitest";
import { decodeHwInfo, Iommufd } from "../../lib/index.ts";
import { FIRST as bdf } from "../conformance/backend.ts";
import { iommufd, unwrapped } from "../e2e/command.ts";
import { describeAmd } from "../e2e/other-iommus.ts";
import { expectCaptured } from "./captured.ts";

describe.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "amd")("AMD's IOMMU", () => {
  it("tells its extended features", () => {
    using machine = Iommufd.open({ backend: "kernel" });
    using device = machine.openDevice(bdf);
    const info = decodeHwInfo(device.hwInfo());
    expect(info).toMatchObject({ typeId: 4, type: "amd", amd: { efr: 0x29d3n, efr2: 0n } });
    expect(info.amd?.derived).toMatchObject({ guestTranslation: true, nestedTranslation: false });
  });

  describeAmd();

  it("capture gives the profile that ships, whose model the suites hold against this kernel", () =>
    expectCaptured("qemu-amd"));

  it("doctor says it without opening the device", () => {
    const { status, stdout } = iommufd(["doctor"]);
    expect(status).toBe(3);
    expect(unwrapped(stdout)).toMatch(/^fail +nested translation +none of AMD's IOMMUs is able to: ivhd0 /m);
    expect(unwrapped(stdout)).toMatch(/^pass +interrupt isolation +interrupts are remapped/m);
    expect(unwrapped(stdout)).toMatch(
      /^pass +erratum +ERRATA_772415_SPR17 is of Intel VT-d, and this is AMD-Vi$/m,
    );
    expect(stdout).not.toMatch(/intel_iommu|VT-d in|scalable mode/);
  });
});
