/** `iommufd decode`: two registers, a kernel log, or this host. */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { iommufd } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { directory, file } = temporaryFiles();

describe("iommufd decode", () => {
  it("without arguments explains what the host's sysfs shows, of each unit", () => {
    const root = join(directory, "host");
    for (const [unit, cap, ecap] of [
      ["dmar0", "d2008c22260286", "480084f00f4a"],
      ["dmar1", "19ed008c40780c66", "3ef9e86f050df"],
    ] as const) {
      const group = join(root, `sys/class/iommu/${unit}/intel-iommu`);
      mkdirSync(group, { recursive: true });
      const attributes = { cap, ecap, address: "fed90000", version: "1:0" };
      for (const [name, value] of Object.entries(attributes)) writeFileSync(join(group, name), `${value}\n`);
    }
    mkdirSync(join(root, "sys/class/iommu/ivhd0"));
    const { status, stdout, stderr } = iommufd(["decode", "--root", root]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("\ndmar0 at 0xfed90000, version 1:0\n");
    expect(stdout).toContain("\ndmar1 at 0xfed90000, version 1:0\n");
    const { units } = JSON.parse(iommufd(["decode", "--root", root, "--json"]).stdout);
    expect(units).toMatchObject([
      { name: "dmar0", capReg: "0xd2008c22260286", registerBase: "0xfed90000", version: "1:0" },
      { name: "dmar1", ecapReg: "0x3ef9e86f050df" },
    ]);
    rmSync(join(root, "sys/class/iommu/dmar0/intel-iommu/address"));
    expect(iommufd(["decode", "--root", root]).stdout).toContain("\ndmar0, version 1:0\n");
    for (const unit of ["dmar0", "dmar1"]) rmSync(join(root, "sys/class/iommu", unit), { recursive: true });
    expect(iommufd(["decode", "--root", root])).toEqual({
      status: 2,
      stdout: "",
      stderr:
        "iommufd: no VT-d unit in /sys/class/iommu (there: ivhd0): give both --cap and --ecap, or --dmesg\n",
    });
  });

  const registers = ["--cap", "0xd2008c22260286", "--ecap", "480084F00F4A"];

  it("--json has raw field values and what follows from them", () => {
    const { status, stdout, stderr } = iommufd(["decode", ...registers, "--json"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({
      schema: "iommufd.vtd/1",
      cap: { ND: 6, AFL: 0, MGAW: 38, ESRTPS: 0 },
      ecap: { C: 0, QI: 1, NEST: 1, SMTS: 1, RPRIVS: 0 },
      derived: { nestedTranslation: true },
    });
  });

  it("explains each field to people", () => {
    const { stdout } = iommufd(["decode", ...registers]);
    expect(stdout).toMatch(/^2:0 +ND +6 +Number of domains supported +65536 domains$/m);
    expect(stdout).toMatch(/^26 +NEST +1 +Nested translation +yes$/m);
  });

  it("finds units in a kernel log", () => {
    const log = "[0.1] DMAR: dmar3: reg_base_addr c8fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ef9e86f050df\n";
    const { stdout } = iommufd(["decode", "--dmesg", "-", "--json"], log);
    expect(JSON.parse(stdout)).toMatchObject({
      schema: "iommufd.vtd-units/1",
      units: [
        { name: "dmar3", registerBase: "0xc8fc000", version: "6:0", cap: { FS5LP: 1 }, ecap: { NEST: 1 } },
      ],
    });
    expect(iommufd(["decode", "--dmesg", file("dmesg", log)]).stdout).toContain(
      "dmar3 at 0xc8fc000, version 6:0",
    );
  });
});
