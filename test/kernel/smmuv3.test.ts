/**
 * A machine with an SMMUv3 of two stages: IOMMUFD_TEST_MACHINE=smmuv3. Its nested translation, and the reports about
 * it. Where a VT-d takes no read-only mapping into a nest parent, an SMMU does.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Container, type Device, decodeHwInfo, Iommufd, type MemorySection } from "../../lib/index.ts";
import { FIRST, SECOND } from "../conformance/backend.ts";
import { iommufd as command, PROJECT } from "../e2e/command.ts";
import { expectCaptured } from "./captured.ts";
import { processFigure } from "./proc.ts";

/** A guest of QEMU's machine type virt has its RAM there, and firmware at 0. */
const RAM = 0x4000_0000n;
const SIZE = 1n << 20n;
/** Where the kernel keeps addresses free for interrupts (MSI_IOVA_BASE, of the driver). */
const INTERRUPTS = { start: "0x8000000", last: "0x80fffff" };

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
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    await import("../../examples/nested-dma.ts");
    const lines = log.mock.calls.flat();
    log.mockRestore();
    expect(lines).toEqual([
      "0000:00:01.0: SMMUv3.1",
      "through two stages and back: every byte arrived",
      "a write to a page that stage 1 has read-only: nothing arrived; F_PERMISSION of stream 8 at 0x6000",
      "a write to a page whose entry the guest cleared: nothing arrived; F_TRANSLATION of stream 8 at 0x5000",
      "a write to ROM, which stage 2 has read-only: nothing arrived",
      "a read of ROM: every byte arrived",
    ]);
    expect(readFileSync(`${PROJECT}docs/driver.md`, "utf8")).toContain(lines.join("\n"));
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

  describe("a vIOMMU", () => {
    it("takes no stream table entry that a guest must not set: EIO", () => {
      const parent = iommufd.allocIoas().allocHwptSync(device, { nestParent: true });
      const viommu = parent.allocViommu(device, "arm-smmuv3");
      const nested = (...ste: [bigint, bigint]) =>
        parent.allocNestedSync(device, { type: "arm-smmuv3", ste }, { viommu });
      const S2_TRANSLATES = 6n;
      const STRW = 3n << 30n;
      const refused = expect.objectContaining({ code: "EIO", syscall: "IOMMU_HWPT_ALLOC" });
      expect(() => nested(1n | (S2_TRANSLATES << 1n), 0n)).toThrow(refused);
      expect(() => nested(1n | (5n << 1n), STRW)).toThrow(refused);
      expect(nested(0n, 0n).id).toBeGreaterThan(viommu.id);
    });

    it("takes commands that a guest may give, and says which it may not: EIO", () => {
      const parent = iommufd.allocIoas().allocHwptSync(device, { nestParent: true });
      const viommu = parent.allocViommu(device, "arm-smmuv3");
      viommu.allocVdevice(device, 8n);
      const [TLBI_NSNH_ALL, CFGI_CD_ALL, CFGI_STE] = [0x30n, 0x6n, 0x3n];
      const stream = (id: bigint) => id << 32n;
      expect(
        viommu.invalidate([
          [TLBI_NSNH_ALL, 0n],
          [CFGI_CD_ALL | stream(8n), 0n],
        ]),
      ).toBe(2);
      for (const bad of [CFGI_STE | stream(8n), CFGI_CD_ALL | stream(9n)])
        expect(() =>
          viommu.invalidate([
            [TLBI_NSNH_ALL, 0n],
            [bad, 0n],
          ]),
        ).toThrow(
          expect.objectContaining({
            code: "EIO",
            syscall: "IOMMU_HWPT_INVALIDATE",
            request: expect.objectContaining({ index: 1 }),
          }),
        );
    });

    it("needs a vDEVICE before a device's stage 1 translates: ENOENT", () => {
      const parent = iommufd.allocIoas().allocHwptSync(device, { nestParent: true });
      const viommu = parent.allocViommu(device, "arm-smmuv3");
      const nested = parent.allocNestedSync(
        device,
        { type: "arm-smmuv3", ste: [1n | (5n << 1n), 0n] },
        { viommu },
      );
      expect(() => device.attachSync(nested)).toThrow(
        expect.objectContaining({ code: "ENOENT", syscall: "VFIO_DEVICE_ATTACH_IOMMUFD_PT" }),
      );
      viommu.allocVdevice(device, 8n);
      device.attachSync(nested);
    });
  });

  describe("the command", () => {
    const path = "/run/tmp/virt.json";
    const list = (...sections: [start: string, last: string, readonly: boolean][]) =>
      writeFileSync(
        path,
        JSON.stringify({
          schema: "iommufd.sections/1",
          addressSpace: "memory",
          sections: sections.map(([start, last, readonly], index) => ({
            ...{ start, last, readonly },
            ...{ type: "ram", region: `region${index}` },
          })),
        }),
      );

    beforeEach(() => {
      iommufd.close();
      list(["0x0", "0xfffff", true], ["0x40000000", "0x400fffff", false], ["0x7f00000", "0x8ffffff", false]);
    });

    it("probe says that it may nest, and has no erratum", () => {
      const { status, stdout } = command(["probe", "--json"]);
      expect(status).toBe(0);
      const each = { type: "arm-smmuv3", nestParent: true, erratum772415: false, quirks: [] };
      expect(JSON.parse(stdout).devices).toMatchObject([each, each]);
    });

    it("check makes the read-only mapping, and says what is kept free for interrupts", () => {
      const { status, stdout } = command(["check", path, "--device", FIRST, SECOND, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({
        accepted: false,
        bypassRo: false,
        mappings: 3,
        deviceObstacles: [],
        obstacles: [{ region: "region2", code: "EINVAL", reason: "reserved", conflict: INTERRUPTS }],
      });
      expect(status).toBe(3);
    });

    it("plan leaves nothing out", () => {
      const { status, stdout } = command(["plan", path, "--device", FIRST, "--json"]);
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ bypassRo: false, skipped: [] });
    });

    it("doctor says that registers tell nothing here, and who does", () => {
      const { stdout } = command(["doctor"]);
      expect(stdout).toMatch(/^pass +IOMMU +smmu3\.0x0000000009050000$/m);
      expect(stdout).toMatch(/^pass +interrupt isolation +interrupts are remapped \(ITS-/m);
      expect(stdout).toMatch(/^unknown +nested translation +cannot be seen: /m);
      expect(stdout).toMatch(
        /^pass +erratum +ERRATA_772415_SPR17 is of Intel VT-d, and this is Arm SMMUv3$/m,
      );
      expect(stdout).not.toMatch(/^fail|intel_iommu|scalable mode/m);
    });

    it("capture gives the profile that ships, whose model the suites hold against this kernel", () =>
      expectCaptured("qemu-smmuv3"));
  });
});
