/** The verdict on a plan: what is not known is never called safe. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Plan, plan } from "../../lib/container/plan.ts";
import type { MemorySection } from "../../lib/index.ts";
import { checkVerdict, planVerdict } from "../../lib/report/verdict.ts";

const RAM: MemorySection = {
  start: 0n,
  size: 0x100000n,
  region: "ram",
  offsetInRegion: 0n,
  type: "ram",
  readonly: false,
};
const ROM: MemorySection = { ...RAM, start: 0x200000n, region: "rom", readonly: true };
const MMIO: MemorySection = { ...RAM, start: 0x400000n, region: "mmio", type: "other" };
const UNSURE: MemorySection = { ...ROM, typeIsAssumed: true };
const EVERYWHERE = [{ start: 0n, last: 0xffff_ffffn }];
const SAFE = {
  nesting: true,
  affected: false,
  nestParent: true,
  plan: plan([RAM, ROM]),
  iovaRanges: EVERYWHERE,
};
const ERRATUM = { ...SAFE, affected: true };

describe("of a plan", () => {
  it.each([
    [SAFE, "safe", "2 mappings"],
    [{ ...SAFE, nesting: false, affected: undefined, nestParent: undefined }, "safe", "2 mappings"],
    [
      { ...ERRATUM, plan: plan([RAM, ROM], { bypassRo: true }) },
      "changed",
      "1 mapping; 1 read-only section left out for ERRATA_772415_SPR17, 1 MiB",
    ],
    [
      { ...SAFE, plan: plan([RAM, { ...RAM, start: 0x200010n, region: "odd" }]) },
      "changed",
      "1 mapping; 1 section left out as not aligned",
    ],
    [ERRATUM, "refused", "1 read-only mapping on a nest parent, which ERRATA_772415_SPR17 forbids"],
    [
      { ...SAFE, nestParent: false },
      "refused",
      "the kernel makes no nest parent for the device (EOPNOTSUPP)",
    ],
    [
      { ...SAFE, iovaRanges: [{ start: 0n, last: 0x2ffffen }] },
      "refused",
      "1 of 2 mappings at addresses where the host maps nothing",
    ],
    [{ ...SAFE, damage: "cut" }, "unknown", "the memory map is not whole: sections may be missing"],
    [
      { ...SAFE, affected: undefined },
      "unknown",
      "1 read-only mapping, and no IOMMU was asked whether it has ERRATA_772415_SPR17",
    ],
    [{ ...SAFE, nestParent: undefined }, "unknown", "2 mappings; not asked: whether the host nests"],
    [{ ...SAFE, iovaRanges: undefined }, "unknown", "2 mappings; not asked: which addresses the host maps"],
    [{ ...SAFE, plan: plan([RAM, UNSURE]) }, "unknown", "2 mappings; 1 section may be no RAM"],
    [{ ...SAFE, plan: plan([MMIO]) }, "unknown", "0 mappings; is it the address space that the devices see?"],
  ] as const)("%#: %s", (planned, outcome, text) => {
    expect(planVerdict(planned)).toEqual({ outcome, text });
  });

  const known = fc.constantFrom(true, false, undefined);
  const planned = fc.record({
    nesting: fc.boolean(),
    affected: known,
    nestParent: known,
    plan: fc
      .tuple(fc.subarray([RAM, ROM, MMIO], { minLength: 1 }), fc.boolean())
      .map(([sections, bypassRo]) => plan(sections, { bypassRo })),
    iovaRanges: fc.constantFrom(undefined, EVERYWHERE, [{ start: 0n, last: 0xfffffn }]),
    damage: fc.constantFrom(undefined, "cut"),
  });

  it("is safe only where all was asked and answered, and nothing was left out", () => {
    fc.assert(
      fc.property(planned, (each) => {
        if (planVerdict(each).outcome !== "safe") return;
        expect(each.damage).toBeUndefined();
        expect(each.plan.skipped.filter(({ reason }) => reason !== "not-ram")).toEqual([]);
        expect(each.plan.map).not.toEqual([]);
        expect(each.iovaRanges).toBeDefined();
        const hasReadOnly = each.plan.map.some(({ readonly }) => readonly);
        if (each.nesting) expect([each.nestParent, hasReadOnly && each.affected]).toEqual([true, false]);
      }),
    );
  });
});

describe("of a check", () => {
  const tried = (tryOut: Plan, more: Partial<Parameters<typeof checkVerdict>[0]> = {}) =>
    checkVerdict({
      devices: ["0000:6a:01.0"],
      nesting: true,
      affected: false,
      memlock: undefined,
      plan: tryOut,
      bypassRoReason: "",
      iovaRanges: EVERYWHERE,
      deviceObstacles: [],
      obstacles: [],
      lockedMemory: 0x2000n,
      ...more,
    });
  const device = { device: "0000:6a:01.0", syscall: "open", code: "EBUSY", iommu: null };
  const [first] = plan([RAM]).map;
  const obstacle = {
    mapping: first as Plan["map"][number],
    code: "EINVAL",
    reason: "other",
    conflict: null,
  } as const;

  it("is safe where the kernel took all there is", () => {
    expect(tried(plan([RAM, ROM]))).toEqual({
      outcome: "safe",
      text: "2 mappings on 0000:6a:01.0, all undone again",
    });
    expect(tried(plan([RAM, ROM], { bypassRo: true })).outcome).toBe("changed");
  });

  it("is unknown where the erratum is not known of, or a section may be no RAM", () => {
    expect(tried(plan([RAM, ROM]), { affected: undefined })).toMatchObject({ outcome: "unknown" });
    expect(tried(plan([RAM]), { affected: undefined })).toMatchObject({ outcome: "safe" });
    expect(tried(plan([RAM, UNSURE]))).toMatchObject({ outcome: "unknown" });
  });

  it("is refused by a device, a mapping, or the limit on locked memory", () => {
    expect(tried(plan([RAM]), { deviceObstacles: [device] })).toMatchObject({
      outcome: "refused",
      text: "1 of 1 device cannot be opened or attached, nothing was mapped",
    });
    expect(tried(plan([RAM]), { obstacles: [obstacle] })).toMatchObject({ outcome: "refused" });
    const memlock = { limit: 0x1000n, exempt: false };
    expect(tried(plan([RAM]), { memlock })).toEqual({
      outcome: "refused",
      text: "the limit on locked memory is too low",
    });
  });
});
