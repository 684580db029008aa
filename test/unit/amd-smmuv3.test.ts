/** AMD's and Arm's registers: no bit is lost, and fields are where Linux has them. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EFR_FIELDS, EFR2_FIELDS } from "../../lib/hw-info/amd.ts";
import type { Field, FieldValues } from "../../lib/hw-info/register.ts";
import { SMMUV3_GUEST_FIELDS, SMMUV3_REGISTERS, type Smmuv3Register } from "../../lib/hw-info/smmuv3.ts";
import { decodeAmd, decodeHwInfo, decodeSmmuv3 } from "../../lib/index.ts";
import { describeIommu } from "../../lib/report/iommu-report.ts";
import { formatFacts } from "../../lib/report/text.ts";

const REGISTERS = Object.entries(SMMUV3_REGISTERS) as [Smmuv3Register, readonly Field[]][];
const ALL: [string, readonly Field[]][] = [["EFR", EFR_FIELDS], ["EFR2", EFR2_FIELDS], ...REGISTERS];

const encode = (fields: readonly Field[], values: FieldValues) =>
  fields.reduce((register, { name, bit }) => register | (BigInt(values[name] as number) << BigInt(bit)), 0n);
const ofBits = (bits: readonly number[] = []) => bits.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
const info = (type: number, data: Uint8Array) => ({
  type,
  data,
  dataLength: data.length,
  maxPasidLog2: 0,
  capabilities: 0n,
});

describe.each(ALL)("%s", (_, fields) => {
  it("has fields that do not overlap, in order, each named once", () => {
    let next = 0;
    for (const { bit, width } of fields) {
      expect(bit).toBeGreaterThanOrEqual(next);
      next = bit + width;
    }
    expect(new Set(fields.map(({ name }) => name)).size).toBe(fields.length);
  });
});

describe("decoding", () => {
  const word = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

  it("loses no bit of AMD's registers", () => {
    fc.assert(
      fc.property(word, word, (efr, efr2) => {
        const { fields, derived } = decodeAmd({ efr, efr2 });
        expect(encode(EFR_FIELDS, fields.efr) | ofBits(derived.unnamedBits.efr)).toBe(efr);
        expect(encode(EFR2_FIELDS, fields.efr2) | ofBits(derived.unnamedBits.efr2)).toBe(efr2);
      }),
    );
  });

  it("loses no bit of an SMMU's registers", () => {
    const values = fc.record(
      Object.fromEntries(REGISTERS.map(([name]) => [name, fc.nat(0xffff_ffff)])),
    ) as fc.Arbitrary<Record<Smmuv3Register, number>>;
    fc.assert(
      fc.property(values, (registers) => {
        const { fields, derived } = decodeSmmuv3({ flags: 0, registers });
        for (const [name, list] of REGISTERS)
          expect(encode(list, fields[name]) | ofBits(derived.unnamedBits[name])).toBe(
            BigInt(registers[name]),
          );
      }),
    );
  });

  // The masks of Linux's macros: FEATURE_* in drivers/iommu/amd/amd_iommu_types.h, IDR*_* in arm-smmu-v3.h.
  it.each([
    [EFR_FIELDS, { PreFSup: [0], PPRSup: [1], XTSup: [2], NXSup: [3], GTSup: [4], IASup: [6], GASup: [7] }],
    [
      EFR_FIELDS,
      { HESup: [8], PCSup: [9], HATS: [11, 10], GATS: [13, 12], GLXSup: [15, 14], PASmax: [36, 32] },
    ],
    [EFR_FIELDS, { MsiCapMmioSup: [46], GIoSup: [48], HASup: [49], EPHSup: [50], HDSup: [52], SNPSup: [63] }],
    [EFR2_FIELDS, { SEVSNPIOSup: [1], GCR3TRPMode: [3], SNPAVICSup: [7, 5], NumIntRemapSup: [9, 8] }],
    [SMMUV3_REGISTERS.IDR0, { S2P: [0], S1P: [1], TTF: [3, 2], COHACC: [4], HTTU: [7, 6], Hyp: [9] }],
    [SMMUV3_REGISTERS.IDR0, { ATS: [10], ASID16: [12], MSI: [13], SEV: [14], PRI: [16], VMID16: [18] }],
    [SMMUV3_REGISTERS.IDR0, { CD2L: [19], TTENDIAN: [22, 21], STALL_MODEL: [25, 24], ST_LEVEL: [28, 27] }],
    [SMMUV3_REGISTERS.IDR1, { SIDSIZE: [5, 0], SSIDSIZE: [10, 6], PRIQS: [15, 11], EVENTQS: [20, 16] }],
    [SMMUV3_REGISTERS.IDR1, { CMDQS: [25, 21], ATTR_TYPES_OVR: [27], REL: [28], QUEUES_PRESET: [29] }],
    [SMMUV3_REGISTERS.IDR1, { TABLES_PRESET: [30] }],
    [SMMUV3_REGISTERS.IDR3, { FWB: [8], RIL: [10], BBML: [12, 11] }],
    [SMMUV3_REGISTERS.IDR5, { OAS: [2, 0], GRAN4K: [4], GRAN16K: [5], GRAN64K: [6], VAX: [11, 10] }],
    [SMMUV3_REGISTERS.IDR5, { STALL_MAX: [31, 16] }],
    [
      SMMUV3_REGISTERS.IIDR,
      { Implementer: [11, 0], Revision: [15, 12], Variant: [19, 16], ProductID: [31, 20] },
    ],
  ] as [readonly Field[], Record<string, [high: number, low?: number]>][])(
    "has fields where Linux has them (%#)",
    (fields, known) => {
      for (const [name, [high, low = high]] of Object.entries(known))
        expect(fields).toContainEqual(expect.objectContaining({ name, bit: low, width: high - low + 1 }));
    },
  );

  it("knows the fields that a VMM may rely on", () => {
    for (const [register, names] of Object.entries(SMMUV3_GUEST_FIELDS)) {
      const known = SMMUV3_REGISTERS[register as Smmuv3Register].map(({ name }) => name as string);
      expect(known).toEqual(expect.arrayContaining([...names]));
    }
  });
});

describe("hardware information", () => {
  it("of AMD is read from the kernel's structure", () => {
    const data = new Uint8Array(16);
    const view = new DataView(data.buffer);
    const efr = (1n << 52n) | (15n << 32n) | (1n << 12n) | (1n << 4n) | (1n << 57n);
    view.setBigUint64(0, efr, true);
    view.setBigUint64(8, 2n, true);
    const decoded = decodeHwInfo(info(4, data));
    expect(decoded).toMatchObject({
      type: "amd",
      amd: {
        efr,
        efr2: 2n,
        fields: { efr: { GTSup: 1, PASmax: 15, HDSup: 1, HATS: 0 }, efr2: { SEVSNPIOSup: 1 } },
        derived: {
          guestTranslation: true,
          nestedTranslation: false,
          hostLevels: 4,
          guestLevels: 5,
          pasidBits: 16,
          dirtyTracking: true,
          unnamedBits: { efr: [57], efr2: [] },
        },
      },
    });
    expect(formatFacts(describeIommu(["0000:01:00.0"], decoded, undefined))).toMatchInlineSnapshot(`
      "IOMMU     amd (IOMMU_GET_HW_INFO type 4), as 0000:01:00.0 sees it
                EFR  0x210000f00001010
                EFR2 0x2
                guest translation yes, nested translation no, dirty tracking yes, PASID 16 bits
                page tables of up to 4 levels for the host, 5 for a guest
                for this device: no further capabilities; no PASID; nest parent unknown
      Erratum   ERRATA_772415_SPR17 is of Intel VT-d; type amd has no such flag"
    `);
    expect(decodeHwInfo(info(4, data.slice(1))).amd).toBeUndefined();
  });

  it("of an AMD IOMMU: it nests with all three features that Linux wants of it, one of them in its other register", () => {
    const [GT, GIO, GCR3TRP] = [1n << 4n, 1n << 48n, 1n << 3n];
    const nests = (efr: bigint, efr2: bigint) => decodeAmd({ efr, efr2 }).derived.nestedTranslation;
    expect(nests(GT | GIO, GCR3TRP)).toBe(true);
    expect([nests(GT | GIO, 0n), nests(GT, GCR3TRP), nests(GIO, GCR3TRP)]).toEqual([false, false, false]);
  });

  it("of an SMMUv3 is read from the kernel's structure", () => {
    const registers = [0x0180_0c0f | (3 << 27), (16 << 6) | 32, 0, 1 << 10, 0, (2 << 10) | 0x75, 0x43b, 0x02];
    const data = new Uint8Array(Uint32Array.from([0, 0, ...registers]).buffer);
    const decoded = decodeHwInfo(info(2, data));
    expect(decoded.smmuv3).toMatchObject({
      flags: 0,
      registers: { IDR1: 0x420, IIDR: 0x43b },
      fields: { IDR0: { S1P: 1, S2P: 1, TTF: 3 }, IDR3: { RIL: 1 }, IIDR: { Implementer: 0x43b } },
      derived: {
        nestedTranslation: true,
        streamIdBits: 32,
        substreamIdBits: 16,
        granules: [4096, 16384, 65536],
        virtualAddressBits: 56,
        version: "3.2",
        unnamedBits: {},
      },
    });
    expect(formatFacts(describeIommu(["0000:01:00.0"], decoded, false))).toMatchInlineSnapshot(`
      "IOMMU     arm-smmuv3 (IOMMU_GET_HW_INFO type 2), as 0000:01:00.0 sees it
                IDR0 0x19800c0f, IDR1 0x420, IDR2 0x0, IDR3 0x400
                IDR4 0x0, IDR5 0x875, IIDR 0x43b, AIDR 0x2
                SMMUv3.2, nested translation yes, stream ids of 32 bits, PASID 16 bits
                virtual addresses of 56 bits; granules 4 KiB, 16 KiB, 64 KiB
                for this device: no further capabilities; no PASID; nest parent refused (EOPNOTSUPP)
      Erratum   ERRATA_772415_SPR17 is of Intel VT-d; type arm-smmuv3 has no such flag"
    `);
    expect(decodeHwInfo(info(2, data.slice(0, 39))).smmuv3).toBeUndefined();
  });

  it("of a Tegra241 CMDQV is read from the kernel's structure", () => {
    const decoded = decodeHwInfo(info(3, new Uint8Array([0, 0, 0, 0, 1, 7, 4, 0])));
    expect(decoded.tegra241Cmdqv).toEqual({ flags: 0, version: 1, vcmdqs: 128, vsids: 16 });
    expect(formatFacts(describeIommu(["0000:01:00.0"], decoded, undefined))).toContain(
      "CMDQ-V version 1, 128 virtual command queues",
    );
    expect(decodeHwInfo(info(3, new Uint8Array(7))).tegra241Cmdqv).toBeUndefined();
  });
});
