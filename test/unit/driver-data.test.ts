/** Structures for IOMMU drivers: the bytes that a C compiler lays out, and what is refused. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  checkDriverData,
  encodeNestedHwpt,
  encodeSmmuCommands,
  encodeVtdInvalidations,
} from "../../lib/iommufd/driver-data.ts";

const include = process.env["IOMMUFD_UAPI_INCLUDE"] ?? "/usr/include";
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const vtdS1 = {
  type: "vtd-s1",
  flags: 0x1122334455667788n,
  pgtblAddr: 0xabcdef0000n,
  addrWidth: 57,
} as const;
const smmu = { type: "arm-smmuv3", ste: [0x1111222233334444n, 0x5n] } as const;
const amd = { type: "amd-guest", dte: [1n, 2n, 3n, 0xffff_ffff_ffff_fffen] } as const;
const invalidations = [
  { address: 0x1000n, pages: 16n, leaf: true },
  { address: 0n, pages: (1n << 64n) - 1n },
];
const commands = [
  [0x12n, 0x34n],
  [0x56n, 0x78n],
] as const;

describe("data for an IOMMU driver", () => {
  it("is laid out as the uAPI has it", () => {
    expect(encodeNestedHwpt(vtdS1)).toEqual({ type: 1, bytes: expect.anything() });
    expect(hex(encodeNestedHwpt(vtdS1).bytes)).toBe("88776655443322110000efcdab0000003900000000000000");
    expect(encodeNestedHwpt(smmu).type).toBe(2);
    expect(hex(encodeNestedHwpt(smmu).bytes)).toBe("44443333222211110500000000000000");
    expect(encodeNestedHwpt(amd).type).toBe(3);
    expect(hex(encodeNestedHwpt(amd).bytes)).toBe(
      "010000000000000002000000000000000300000000000000feffffffffffffff",
    );
    expect(encodeVtdInvalidations(invalidations)).toMatchObject({ type: 0, entryLength: 24 });
    expect(hex(encodeVtdInvalidations(invalidations).bytes)).toBe(
      "001000000000000010000000000000000100000000000000" + "0000000000000000ffffffffffffffff0000000000000000",
    );
    expect(encodeSmmuCommands(commands)).toMatchObject({ type: 1, entryLength: 16 });
  });

  it.skipIf(!existsSync(join(include, "linux/iommufd.h")))("is what the kernel's header makes of it", () => {
    const directory = mkdtempSync(join(tmpdir(), "iommufd-data-"));
    const source = `
      #include <stddef.h>
      #include <stdio.h>
      #include <linux/iommufd.h>
      // What lib/hw-info reads, and where.
      _Static_assert(sizeof(struct iommu_hw_info_amd) == 16 && offsetof(struct iommu_hw_info_amd, efr2) == 8, "");
      _Static_assert(sizeof(struct iommu_hw_info_arm_smmuv3) == 40, "");
      _Static_assert(offsetof(struct iommu_hw_info_arm_smmuv3, idr) == 8, "");
      _Static_assert(offsetof(struct iommu_hw_info_arm_smmuv3, aidr) == 36, "");
      _Static_assert(offsetof(struct iommu_hw_info_tegra241_cmdqv, version) == 4, "");
      _Static_assert(offsetof(struct iommu_hw_info_tegra241_cmdqv, log2vsids) == 6, "");
      static void put(const void *data, unsigned long length) {
        for (unsigned long i = 0; i < length; i++) printf("%02x", ((const unsigned char *)data)[i]);
        puts("");
      }
      int main(void) {
        struct iommu_hwpt_vtd_s1 vtd = { .flags = 0x1122334455667788, .pgtbl_addr = 0xabcdef0000, .addr_width = 57 };
        struct iommu_hwpt_arm_smmuv3 smmu = { .ste = { 0x1111222233334444, 5 } };
        struct iommu_hwpt_amd_guest amd = { .dte = { 1, 2, 3, 0xfffffffffffffffe } };
        struct iommu_hwpt_vtd_s1_invalidate inv[] = {
          { .addr = 0x1000, .npages = 16, .flags = IOMMU_VTD_INV_FLAGS_LEAF }, { .npages = ~0ull } };
        struct iommu_viommu_arm_smmuv3_invalidate cmds[] = { { { 0x12, 0x34 } }, { { 0x56, 0x78 } } };
        put(&vtd, sizeof(vtd)); put(&smmu, sizeof(smmu)); put(&amd, sizeof(amd));
        put(inv, sizeof(inv)); put(cmds, sizeof(cmds));
        printf("%d %d %d %d %d\\n", IOMMU_HWPT_DATA_VTD_S1, IOMMU_HWPT_DATA_ARM_SMMUV3, IOMMU_HWPT_DATA_AMD_GUEST,
          IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3);
        printf("%zu\\n", sizeof(struct iommu_viommu_tegra241_cmdqv));
      }`;
    try {
      writeFileSync(join(directory, "data.c"), source);
      const program = join(directory, "data");
      const compiled = spawnSync("cc", ["-isystem", include, "-o", program, `${program}.c`], {
        encoding: "utf8",
      });
      expect(compiled.stderr).toBe("");
      const encoded = [
        encodeNestedHwpt(vtdS1),
        encodeNestedHwpt(smmu),
        encodeNestedHwpt(amd),
        encodeVtdInvalidations(invalidations),
        encodeSmmuCommands(commands),
      ];
      expect(spawnSync(program, { encoding: "utf8" }).stdout.trim().split("\n")).toEqual([
        ...encoded.map(({ bytes }) => hex(bytes)),
        encoded.map(({ type }) => type).join(" "),
        "16",
      ]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each([
    [() => encodeNestedHwpt(undefined as never), "data must be an object, received undefined"],
    [() => encodeNestedHwpt({ ...vtdS1, flags: 1 as never }), "data.flags must be a bigint, received 1"],
    [() => encodeNestedHwpt({ ...vtdS1, addrWidth: -1 }), "data.addrWidth must be an integer"],
    [() => encodeNestedHwpt({ ...smmu, ste: [1n] as never }), "data.ste must be an array of 2 bigints"],
    [() => encodeNestedHwpt({ ...smmu, ste: 5 as never }), "data.ste must be an array of 2 bigints"],
    [() => encodeNestedHwpt({ ...amd, dte: [1n, 2n, 3n, -1n] }), "data.dte[3] must be a bigint from 0"],
    [() => encodeNestedHwpt({ type: "vtd" } as never), "data.type must be a number, received 'vtd'"],
    [() => checkDriverData({ type: 1, bytes: [] as never }), "data.bytes must be a Uint8Array"],
    [
      () => checkDriverData({ type: 1, bytes: new Uint8Array(4097) }),
      "data.bytes must be at most 4096 bytes",
    ],
    [() => encodeVtdInvalidations([{ address: 0n, pages: 1 as never }]), "entries[0].pages must be a bigint"],
    [() => encodeSmmuCommands([[1n, 2n], [3n] as never]), "commands[1] must be an array of 2 bigints"],
  ])("refuses %s", (encode, message) => {
    expect(encode).toThrow(message);
  });
});
