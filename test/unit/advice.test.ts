/** Advice is for what was asked, and for the machine that answered. */

import { describe, expect, it } from "vitest";
import { preflight } from "../../lib/container/preflight.ts";
import { askNestParent } from "../../lib/container/probe.ts";
import { Iommufd, type MemorySection, softwareMachine } from "../../lib/index.ts";
import { originOf } from "../../lib/origin.ts";
import { adviceForQemu, formatAdvice, type Situation } from "../../lib/report/advice.ts";
import { checkDocument, formatCheck } from "../../lib/report/check-report.ts";
import { PLAIN } from "../../lib/report/look.ts";

const NESTS: Situation = {
  ...{ nesting: true, affected: true, nestParent: true },
  ...{ bypassRo: true, leftOut: 3, outside: 0 },
};
const advice = (change: Partial<Situation>) =>
  formatAdvice(adviceForQemu({ ...NESTS, ...change }), 120).join("\n");

describe("in QEMU", () => {
  it("sections that are left out are spoken of where there are some", () => {
    expect(advice({})).toContain("it leaves the 3 read-only sections out by itself");
    expect(advice({ leftOut: 1 })).toContain("it leaves the read-only section out by itself");
    expect(advice({ leftOut: 0 })).toContain("it leaves read-only sections out by itself");
  });

  it("there is nothing to do where the kernel was asked, and said yes", () => {
    const clean = { affected: false, bypassRo: false };
    expect(advice(clean)).toBe("nothing to do: this host may nest and map read-only memory");
    for (const unasked of [
      { ...clean, nestParent: undefined },
      { ...clean, affected: undefined },
    ])
      expect(advice(unasked)).toMatch(/^unknown: no IOMMU was asked/);
    expect(advice({ ...clean, nestParent: false })).toMatch(
      /^nested translation is not available for this device/,
    );
    expect(advice({ nestParent: false })).not.toContain("intel");
  });

  it("there is something to do where the host refuses addresses of the VM", () => {
    const words = "the VM has memory at addresses where the host maps nothing: `iommufd check` names it";
    for (const change of [{}, { nesting: false }, { affected: false, bypassRo: false }]) {
      expect(advice({ ...change, outside: 1 })).toContain(words);
      expect(advice({ ...change, outside: 1 })).not.toContain("nothing to do");
      expect(advice(change)).not.toContain(words);
    }
  });

  it("without nesting all is well", () => {
    expect(advice({ nesting: false, nestParent: undefined })).toMatch(/^nothing to do: without nested/);
  });
});

describe("where no nest parent is made", () => {
  const section: MemorySection = {
    start: 0n,
    size: 1n << 20n,
    region: "ram",
    offsetInRegion: 0n,
    type: "ram",
    readonly: false,
  };

  it.each([
    ["amd", "AMD's nests only with EFR GTSup"],
    ["intel-vtd", "boot the host with intel_iommu=on,sm_on"],
    ["arm-smmuv3", "both stages"],
    ["none", "its driver in this kernel makes no nest parent"],
    [null, "its driver in this kernel makes no nest parent"],
  ])("check advises what the IOMMU needs, of %s", async (iommu, words) => {
    using iommufd = Iommufd.open({ profile: "none" });
    using device = iommufd.openDevice("01:00.0");
    const found = await preflight(iommufd, [device], [section], { nesting: true });
    expect(found.deviceObstacles).toEqual([
      { device: "0000:01:00.0", syscall: "IOMMU_HWPT_ALLOC", code: "EOPNOTSUPP", iommu: "none" },
    ]);
    const deviceObstacles = found.deviceObstacles.map((obstacle) => ({ ...obstacle, iommu }));
    const report = {
      ...found,
      origin: originOf(iommufd),
      deviceObstacles,
      devices: [device.name],
      nesting: true,
      affected: undefined,
      iommu: [],
      memlock: undefined,
    };
    const text = formatCheck(report, { ...PLAIN, width: 1000 });
    expect(text).toContain(words);
    if (iommu !== "intel-vtd") expect(text).not.toContain("intel_iommu");
    expect(checkDocument(report)).toMatchObject({
      deviceObstacles: [{ iommu, help: expect.stringContaining(words) }],
    });
  });

  it("the kernel is asked, and nothing of it stays; what is no answer is none", () => {
    const host = softwareMachine("sapphire-rapids");
    using iommufd = Iommufd.open(host);
    using device = iommufd.openDevice("6a:01.0");
    expect(askNestParent(iommufd, device)).toBe(true);
    host.failNext("IOMMU_HWPT_ALLOC", "ENOMEM");
    expect(askNestParent(iommufd, device)).toBeUndefined();
    expect(iommufd.allocIoas().id).toBe(2);
    using other = Iommufd.open({ profile: "none" });
    using plain = other.openDevice("01:00.0");
    expect(askNestParent(other, plain)).toBe(false);
    expect(() => other.allocIoas().allocHwptSync(plain, { nestParent: true })).toThrow(
      /^EOPNOTSUPP: .*: the kernel makes no nest parent for this device$/,
    );
  });
});
