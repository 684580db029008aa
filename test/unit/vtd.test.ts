/** VT-d's registers, decoded; and found in kernel logs. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Field } from "../../lib/hw-info/register.ts";
import { CAP_FIELDS, ECAP_FIELDS } from "../../lib/hw-info/vtd-registers.ts";
import { decodeVtd, findDmarUnits } from "../../lib/index.ts";

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

/** Puts fields together again. */
function encode(fields: readonly Field[], values: Readonly<Record<string, number>>): bigint {
  return fields.reduce(
    (register, { name, bit }) => register | (BigInt(values[name] as number) << BigInt(bit)),
    0n,
  );
}

describe("decodeVtd", () => {
  it("names the fields of QEMU's emulated VT-d", () => {
    const { cap, ecap, derived } = decodeVtd(0xd2008c22260286n, 0x480084f00f4an);
    expect(cap).toEqual({
      ...{
        ND: 6,
        AFL: 0,
        RWBF: 0,
        PLMR: 0,
        PHMR: 0,
        CM: 1,
        SAGAW: 2,
        MGAW: 38,
        ZLR: 0,
        FRO: 34,
        SSLPS: 3,
        PSI: 1,
      },
      ...{ NFR: 0, MAMV: 18, DWD: 1, DRD: 1, FS1GP: 0, PI: 0, FS5LP: 0, ECMDS: 0, ESIRTPS: 0, ESRTPS: 0 },
    });
    expect(ecap).toEqual({
      ...{
        C: 0,
        QI: 1,
        DT: 0,
        IR: 1,
        EIM: 0,
        PT: 1,
        SC: 0,
        IRO: 15,
        MHMV: 15,
        MTS: 0,
        NEST: 1,
        PRS: 0,
        ERS: 0,
      },
      ...{ SRS: 1, NWFS: 0, EAFS: 0, PSS: 0, PASID: 0, DIT: 0, PDS: 0, SMTS: 1, VCS: 0, SSADS: 0, SSTS: 1 },
      ...{ FSTS: 0, SMPWCS: 0, RPS: 0, PMS: 0, ADMS: 0, RPRIVS: 0 },
    });
    expect(derived).toEqual({
      domains: 65536,
      maxGuestAddressWidth: 39,
      secondStageAddressWidths: [39],
      secondStagePageSizes: [4096, 2097152, 1073741824],
      firstStageAddressWidths: [],
      firstStagePageSizes: [],
      scalableMode: true,
      nestedTranslation: true,
      dirtyTracking: false,
      pasidBits: 0,
      faultRecordingRegisters: 1,
      faultRecordingOffset: 0x220,
      iotlbOffset: 0xf0,
      reservedBits: { cap: [], ecap: [] },
    });
  });

  it("counts out the registers of the profile sapphire-rapids, one seen and one assumed", () => {
    expect(decodeVtd(0x19ed008c40780c66n, 0x3ef9e86f050dfn).derived).toMatchObject({
      maxGuestAddressWidth: 57,
      secondStageAddressWidths: [48, 57],
      firstStageAddressWidths: [48, 57],
      nestedTranslation: true,
      dirtyTracking: true,
      pasidBits: 20,
      faultRecordingOffset: 0x400,
      iotlbOffset: 0x500,
      reservedBits: { cap: [], ecap: [] },
    });
  });

  it("needs scalable mode for nesting", () => {
    expect(decodeVtd(0n, 1n << 26n).derived.nestedTranslation).toBe(false);
  });

  it("loses no bit of any register", () => {
    fc.assert(
      fc.property(u64, u64, (capReg, ecapReg) => {
        const { cap, ecap, derived } = decodeVtd(capReg, ecapReg);
        const reserved = (bits: readonly number[]) =>
          bits.reduce((register, bit) => register | (1n << BigInt(bit)), 0n);
        expect(encode(CAP_FIELDS, cap) | reserved(derived.reservedBits.cap)).toBe(capReg);
        expect(encode(ECAP_FIELDS, ecap) | reserved(derived.reservedBits.ecap)).toBe(ecapReg);
      }),
    );
  });

  it.each([
    ["CAP_REG", CAP_FIELDS],
    ["ECAP_REG", ECAP_FIELDS],
  ])("has the fields of %s in order, without overlap, each with a name of its own", (_, fields) => {
    let next = 0;
    for (const { bit, width } of fields) {
      expect(bit).toBeGreaterThanOrEqual(next);
      next = bit + width;
    }
    expect(next).toBeLessThanOrEqual(64);
    expect(new Set(fields.map(({ name }) => name)).size).toBe(fields.length);
  });

  it("refuses what is not 64 bits", () => {
    expect(() => decodeVtd(-1n, 0n)).toThrow("capReg must be a bigint from 0 to 2^64-1, received -1");
    expect(() => decodeVtd(0n, 1n << 64n)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
    // @ts-expect-error a number is no register
    expect(() => decodeVtd(1, 0n)).toThrow(TypeError);
  });
});

describe("findDmarUnits", () => {
  it("finds every unit of a kernel log, among other lines", () => {
    const log = [
      "[    0.010000] DMAR: Host address width 46",
      "[    0.011131] DMAR: dmar0: reg_base_addr c8fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ef9e86f050df\r",
      "[    0.011140] DMAR: DRHD base: 0x000000d37fc000 flags: 0x0",
      "DMAR: dmar11: reg_base_addr fed90000 ver 1:0 cap d2008c22260286 ecap 480080f00f4a",
    ].join("\n");
    expect(findDmarUnits(log)).toEqual([
      {
        name: "dmar0",
        registerBase: 0xc8fc000n,
        version: "6:0",
        capReg: 0x19ed008c40780c66n,
        ecapReg: 0x3ef9e86f050dfn,
      },
      {
        name: "dmar11",
        registerBase: 0xfed90000n,
        version: "1:0",
        capReg: 0xd2008c22260286n,
        ecapReg: 0x480080f00f4an,
      },
    ]);
    expect(findDmarUnits("")).toEqual([]);
  });
});

describe("registers of real machines, from public logs (test/fixtures/vtd-registers.tsv)", () => {
  const rows = readFileSync(new URL("../fixtures/vtd-registers.tsv", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split("\t"));

  /** By CAP_REG and ECAP_REG: scalable mode, nesting, address widths of the second stage, width of PASIDs, bits that are reserved now. */
  const EXPECTED: Record<string, [boolean, boolean, number[], number, number[]]> = {
    "0x9ed008c40780466 0x3ee9e86f050df": [true, true, [48], 0, []],
    // Its ECAP_REG was not told, and nothing follows from CAP_REG alone.
    "0x19ed008c40780c66 -": [false, false, [48, 57], 0, []],
    "0x8d2078c106f0466 0xf020df": [false, false, [48], 0, []],
    "0x1c0000c40660462 0x29a00f0505e": [false, false, [48], 0, []],
    "0xd2008c40660462 0xf050da": [false, false, [48], 0, []],
    // Units of before VT-d 3.0 had extended context (24, 27) and a PASID bit (28) that newer specifications took back.
    "0x1c0000c40660462 0x49e2ff0505e": [false, false, [48], 0, [24, 27]],
    "0x1c0000c40660462 0x69e2ff0505e": [false, false, [48], 0, [24, 27]],
    "0x1c0000c40660462 0x7e3ff0501e": [false, false, [48], 0, [24, 27, 28]],
    "0x1c0000c40660462 0x19e2ff0505e": [false, false, [48], 20, [24, 27]],
    "0x80d2008c222f06c6 0xf00f1a": [false, false, [39, 48], 0, []],
  };

  it("all are there", () => {
    expect(new Set(rows.map(([, cap, ecap]) => `${cap} ${ecap}`))).toEqual(new Set(Object.keys(EXPECTED)));
  });

  it.each(rows)("version %s, CAP %s, ECAP %s: %s", (_, cap = "", ecap = "") => {
    const [capReg, ecapReg] = [BigInt(cap), ecap === "-" ? 0n : BigInt(ecap)];
    const decoded = decodeVtd(capReg, ecapReg);
    const { scalableMode, nestedTranslation, secondStageAddressWidths, pasidBits, reservedBits } =
      decoded.derived;
    expect([scalableMode, nestedTranslation, secondStageAddressWidths, pasidBits, reservedBits.ecap]).toEqual(
      EXPECTED[`${cap} ${ecap}`],
    );
    expect(reservedBits.cap).toEqual([]);
    const reserved = reservedBits.ecap.reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n);
    expect(encode(CAP_FIELDS, decoded.cap)).toBe(capReg);
    expect(encode(ECAP_FIELDS, decoded.ecap) | reserved).toBe(ecapReg);
  });
});
