/**
 * A machine with an SMMUv3 of two stages: IOMMUFD_TEST_MACHINE=smmuv3. Its nested translation, and the reports about
 * it. Where a VT-d takes no read-only mapping into a nest parent, an SMMU does.
 */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Container, type Device, decodeHwInfo, Iommufd, type MemorySection } from "../../lib/index.ts";
import { FIRST, PAGE } from "../conformance/backend.ts";
import { iommufd as command, unwrapped } from "../e2e/command.ts";
import { describeSmmuv3 } from "../e2e/other-iommus.ts";
import { expectNestedDma } from "../nested-dma.ts";
import { expectCaptured } from "./captured.ts";
import { processFigure } from "./proc.ts";

/** A guest of QEMU's machine type virt has its RAM there, and firmware at 0. */
const RAM = 0x4000_0000n;
const SIZE = 1n << 20n;

describe.runIf(process.env["IOMMUFD_TEST_MACHINE"] === "smmuv3")("an SMMUv3", () => {
  let iommufd: Iommufd;
  let device: Device;

  beforeEach(() => {
    iommufd = Iommufd.open({ backend: "kernel" });
    device = iommufd.openDevice(FIRST);
  });

  afterEach(() => iommufd.close());

  it("examples/nested-dma.ts: DMA through both stages, which each of them lets through or stops", async () => {
    iommufd.close();
    await expectNestedDma();
  });

  it("tells its registers", () => {
    const info = decodeHwInfo(device.hwInfo());
    expect(info).toMatchObject({ typeId: 2, outCapabilities: ["PCI_ATS_NOT_SUPPORTED"], maxPasidLog2: 0 });
    expect(device.hwInfo().dataLength).toBe(40);
    expect(info.smmuv3?.registers).toEqual({
      IDR0: 0xd44_101b,
      IDR1: 0x273_0010,
      IDR2: 0,
      IDR3: 0x1414,
      IDR4: 0,
      IDR5: 0x74,
      IIDR: 0,
      AIDR: 1,
    });
    expect(info.smmuv3?.derived).toMatchObject({
      nestedTranslation: true,
      streamIdBits: 16,
      granules: [4096, 16384, 65536],
      version: "3.1",
      unnamedBits: {},
    });
  });

  describe("a container that wants nesting", () => {
    const section = (region: string, start: bigint, readonly: boolean): MemorySection => ({
      region,
      start,
      size: SIZE,
      offsetInRegion: 0n,
      type: "ram",
      readonly,
    });
    const sections = [section("rom", 0n, true), section("ram", RAM, false)];

    it("bypasses nothing: the nest parent takes the read-only section", async () => {
      await using container = new Container(iommufd, { nesting: true });
      await container.addDevice(device);
      expect(container.bypassRo).toBe(false);
      const memory = iommufd.allocMemory(SIZE);
      const plan = await container.apply(sections, () => memory);
      expect(plan.map.map(({ iova, readonly }) => [iova, readonly])).toEqual([
        [0n, true],
        [RAM, false],
      ]);
      expect(plan.skipped).toEqual([]);
      expect(processFigure("VmPin")).toBe(Number((2n * SIZE) >> 10n));
    });

    it("takes it where the nest parent comes after the mapping, too", () => {
      const ioas = iommufd.allocIoas();
      ioas.mapSync(iommufd.allocMemory(SIZE), { iova: 0n, writable: false });
      device.attachSync(ioas.allocHwptSync(device, { nestParent: true }));
      ioas.mapSync(iommufd.allocMemory(SIZE), { iova: RAM, writable: false });
    });
  });

  describe("the command", () => {
    beforeEach(() => iommufd.close());

    describeSmmuv3(() => "/run/tmp/virt.json");

    it("doctor says that registers tell nothing here, and who does", () => {
      const { stdout } = command(["doctor"]);
      expect(unwrapped(stdout)).toMatch(/^pass +IOMMU +smmu3\.0x0000000009050000\b/m);
      expect(unwrapped(stdout)).toMatch(/^pass +interrupt isolation +interrupts are remapped \(ITS-/m);
      expect(unwrapped(stdout)).toMatch(/^unknown +nested translation +cannot be seen: /m);
      expect(unwrapped(stdout)).toMatch(
        /^pass +erratum +ERRATA_772415_SPR17 is of Intel VT-d, and this is Arm SMMUv3$/m,
      );
      expect(stdout).not.toMatch(/^fail|intel_iommu|scalable mode/m);
    });

    // The profile is of a kernel with pages of 4 KiB.
    it.runIf(PAGE === 4096n)(
      "capture gives the profile that ships, whose model the suites hold against this kernel",
      () => expectCaptured("qemu-smmuv3"),
    );
  });
});
