/** From hardware information to a quirk to a decision. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideBypassRo, decodeHwInfo, hostIommuQuirks, type ProbedDevice } from "../../lib/index.ts";
import { originOf } from "../../lib/origin.ts";
import { addProbe, makeRegistry } from "../../lib/report/metrics.ts";
import { formatNodeFeatures } from "../../lib/report/node-features.ts";
import { formatProbe, type ProbeReport, probeDocument } from "../../lib/report/probe-report.ts";

/** struct iommu_hw_info_vtd */
function vtdData(flags: number, length = 24): Uint8Array {
  const data = new Uint8Array(Math.max(length, 24));
  new DataView(data.buffer).setUint32(0, flags, true);
  return data.slice(0, length);
}

const INTEL_VTD = 1;

describe("hostIommuQuirks", () => {
  it("finds the erratum by its flag", () => {
    expect(hostIommuQuirks(INTEL_VTD, vtdData(1))).toEqual(["NESTING_PARENT_BYPASS_RO"]);
    expect(hostIommuQuirks(INTEL_VTD, vtdData(0xffffffff))).toEqual(["NESTING_PARENT_BYPASS_RO"]);
    expect(hostIommuQuirks(INTEL_VTD, vtdData(0xfffffffe))).toEqual([]);
  });

  it("takes longer data of a later kernel", () => {
    expect(hostIommuQuirks(INTEL_VTD, vtdData(1, 64))).toEqual(["NESTING_PARENT_BYPASS_RO"]);
  });

  it("finds nothing in data that is too short, or of another type", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 23 }), (length) => {
        expect(hostIommuQuirks(INTEL_VTD, vtdData(1, length))).toEqual([]);
      }),
    );
    for (const type of [0, 2, 3, 4, 5, 0xfeedbeef]) expect(hostIommuQuirks(type, vtdData(1))).toEqual([]);
  });

  it("reads data that starts within a larger buffer", () => {
    const buffer = new Uint8Array(40);
    buffer.set(vtdData(1), 5);
    expect(hostIommuQuirks(INTEL_VTD, buffer.subarray(5, 29))).toEqual(["NESTING_PARENT_BYPASS_RO"]);
  });
});

describe("decodeHwInfo", () => {
  const base = { data: new Uint8Array(0), dataLength: 0, maxPasidLog2: 0, capabilities: 0n };

  it.each([
    [0, "none"],
    [1, "intel-vtd"],
    [2, "arm-smmuv3"],
    [3, "tegra241-cmdqv"],
    [4, "amd"],
    [9, "type-9"],
  ])("names type %d %s", (type, name) => {
    expect(decodeHwInfo({ ...base, type })).toEqual({
      type: name,
      typeId: type,
      flags: [],
      // VT-d without data does not say.
      erratum772415: type === INTEL_VTD ? undefined : false,
      outCapabilities: [],
      maxPasidLog2: 0,
    });
  });

  it("names flags and capabilities, and numbers those that it does not know", () => {
    const info = decodeHwInfo({
      ...base,
      type: 1,
      data: vtdData(0x80000003),
      capabilities: 0x800000000000000fn,
    });
    expect(info.flags).toEqual(["ERRATA_772415_SPR17", "BIT_1", "BIT_31"]);
    expect(info.outCapabilities).toEqual([
      "DIRTY_TRACKING",
      "PCI_PASID_EXEC",
      "PCI_PASID_PRIV",
      "PCI_ATS_NOT_SUPPORTED",
      "BIT_63",
    ]);
  });

  it("has no registers where the data is too short for them", () => {
    expect(decodeHwInfo({ ...base, type: 1, data: vtdData(1, 23) })).toMatchObject({
      type: "intel-vtd",
      flags: [],
    });
    expect(decodeHwInfo({ ...base, type: 1, data: vtdData(1, 23) }).vtd).toBeUndefined();
  });
});

describe("whether the erratum is reported", () => {
  const device = (length: number): ProbedDevice => ({
    bdf: "0000:6a:01.0",
    cdev: "/dev/vfio/devices/vfio0",
    info: decodeHwInfo({
      type: INTEL_VTD,
      data: vtdData(1, length),
      dataLength: length,
      maxPasidLog2: 0,
      capabilities: 0n,
    }),
    quirks: [],
    iovaRanges: null,
    nestParent: true,
    error: null,
  });
  const report = (length: number): ProbeReport => ({
    origin: originOf({
      backend: "kernel",
      backendReason: "asked for",
      profile: undefined,
      kernelRelease: "6.12.48-amd64",
    }),
    devices: [device(length)],
  });

  it.each([
    [24, true, "reported", "true", 1],
    // Too little data to hold the flag promises nothing.
    [23, null, "?", "unknown", undefined],
  ])("with %d bytes of data", async (length, json, table, label, metric) => {
    expect(probeDocument(report(length))).toMatchObject({ devices: [{ erratum772415: json }] });
    expect(formatProbe(report(length)).split(/ {2,}|\n/)).toContain(table);
    expect(formatNodeFeatures(report(length))).toContain(`iommufd.erratum-772415=${label}\n`);
    const registry = makeRegistry("text");
    addProbe(registry, report(length), 0);
    const { values } = (await registry.getSingleMetric("iommufd_device_erratum_772415")?.get()) ?? {};
    expect(values?.map(({ value }) => value)).toEqual(metric === undefined ? [] : [metric]);
  });
});

describe("decideBypassRo", () => {
  const affected = ["NESTING_PARENT_BYPASS_RO"] as const;

  it.each([
    [true, "auto", affected, true],
    [true, "auto", [], false],
    [false, "auto", affected, false],
    [true, "auto", undefined, true],
    [false, "auto", undefined, false],
    [true, "off", undefined, false],
    [true, "off", affected, false],
    [false, "on", [], true],
  ] as const)("nesting %s, %s, quirks %j: %s", (nesting, setting, quirks, expected) => {
    expect(decideBypassRo({ nesting, setting, quirks }).bypassRo).toBe(expected);
  });

  it("does not take who was not asked for one who said no", () => {
    expect(decideBypassRo({ nesting: true }).reason).toBe(
      "nesting is wanted and it is not known whether the IOMMU has ERRATA_772415_SPR17: it may have it",
    );
    for (const input of [
      {},
      { nesting: 1 },
      { nesting: true, quirks: "none" },
      { nesting: true, quirks: ["NESTING_PARENT_BYPASSRO"] },
      { nesting: true, quirks: [undefined] },
      { nesting: true, setting: "On" },
    ])
      expect(() => decideBypassRo(input as never)).toThrow(/^(nesting|quirks|setting) must be /);
  });

  it("warns of what off means on an affected host", () => {
    expect(decideBypassRo({ nesting: true, setting: "off", quirks: affected }).reason).toContain(
      "kernel will refuse",
    );
    expect(decideBypassRo({ nesting: false, setting: "off", quirks: affected }).reason).toBe("set by hand");
  });
});
