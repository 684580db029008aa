/**
 * The words of the command for an SMMUv3 and for AMD's IOMMU. They are the same on their models (`npm test`) and on the kernel (the
 * lane's machines).
 */

import { writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { sectionList } from "../section-list.ts";
import { iommufd } from "./command.ts";

/** The devices of the machines. */
const [FIRST, SECOND] = ["0000:00:01.0", "0000:00:02.0"] as const;
const GUEST = "examples/guest-with-nesting.mtree";
/** Where the kernel keeps addresses free for interrupts (MSI_IOVA_BASE, of the driver). */
const INTERRUPTS = { start: "0x8000000", last: "0x80fffff" };

/** A section of a memory map. */
type Section = readonly [start: string, last: string, readonly: boolean];

/**
 * Tests of an SMMUv3.
 *
 * @param path where a memory map can be written
 * @param host options that say who answers
 */
export function describeSmmuv3(path: () => string, ...host: string[]): void {
  const listed = (...sections: Section[]) => {
    const list = sections.map(([start, last, readonly], index) => {
      return { start, last, readonly, region: `region${index}` };
    });
    writeFileSync(path(), sectionList(...list));
    return path();
  };
  const map = () =>
    listed(["0x0", "0xfffff", true], ["0x40000000", "0x400fffff", false], ["0x7f00000", "0x8ffffff", false]);

  it("probe says that it may nest, and has no erratum", () => {
    const { status, stdout } = iommufd(["probe", "--json", ...host]);
    expect(status).toBe(0);
    const each = { type: "arm-smmuv3", nestParent: true, erratum772415: false, quirks: [] };
    expect(JSON.parse(stdout).devices).toMatchObject([each, each]);
  });

  it("check makes the read-only mapping, and says what is kept free for interrupts", () => {
    const { status, stdout } = iommufd(["check", map(), "--device", FIRST, SECOND, "--json", ...host]);
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
    const { status, stdout } = iommufd(["plan", map(), "--device", FIRST, "--json", ...host]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ bypassRo: false, skipped: [] });
  });
}

/** Tests of AMD's IOMMU, which in QEMU cannot nest. */
export function describeAmd(...host: string[]): void {
  it("probe says that no nest parent is made", () => {
    const { status, stdout } = iommufd(["probe", FIRST, "--json", ...host]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).devices).toMatchObject([
      { type: "amd", nestParent: false, erratum772415: false, quirks: [] },
    ]);
    expect(iommufd(["probe", "--format", "nfd", ...host]).stdout).toContain(
      "iommufd.nested-translation=false\n",
    );
  });

  it("plan does not say that this host may nest", () => {
    const { status, stdout } = iommufd(["plan", GUEST, "--device", FIRST, ...host]);
    expect(status).toBe(0);
    expect(stdout).toContain("guest translation yes, nested translation no, ");
    expect(stdout).toContain("nest parent refused (EOPNOTSUPP)\n");
    expect(stdout).toContain("\nnested translation is not available for this device: ");
    expect(stdout).not.toMatch(/nothing to do|intel_iommu=/);
  });

  it("check says what is missing, of AMD's and not of Intel's", () => {
    const { status, stdout } = iommufd(["check", GUEST, "--device", FIRST, ...host]);
    expect(status).toBe(3);
    expect(stdout).toContain(
      `\n${FIRST}: EOPNOTSUPP, IOMMU_HWPT_ALLOC\n  its IOMMU cannot nest here: AMD's nests only`,
    );
    expect(stdout).not.toMatch(/intel|sm_on/);
    expect(iommufd(["check", GUEST, "--device", FIRST, "--no-nesting", ...host]).status).toBe(0);
  });
}
