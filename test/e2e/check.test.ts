/** `iommufd check`, on the model. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { profileJson } from "../fixtures/profiles.ts";
import { sectionList } from "../section-list.ts";
import { iommufd } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const { file } = temporaryFiles();

describe("iommufd check", () => {
  const GUEST_FILE = "examples/guest-with-nesting.mtree";
  const check = (...args: string[]) => iommufd(["check", ...args]);
  /** A guest of RAM only, in ranges [start, last]. */
  const guest = (...ranges: [string, string, boolean?][]) =>
    file(
      "guest.json",
      sectionList(...ranges.map(([start, last, readonly = false]) => ({ start, last, readonly }))),
    );

  it("accepts a plan that keeps to the rules: exit 0", () => {
    const { status, stdout } = check(GUEST_FILE, "--profile", "sapphire-rapids");
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^Asked .*\nPlan {6}accepted: 2 mappings on 0000:6a:01\.0, all undone again; 3 read-only/,
    );
  });

  it("wants a device to be named where those of a profile differ, and plan does: exit 2", () => {
    const profile = profileJson("sapphire-rapids");
    const [first, second] = profile.devices;
    // The firmware has RAM of the guest, for the second device alone.
    const reservedRegions = [{ start: "0x1000000", last: "0x1ffffff" }];
    const devices = [first, { ...second, reservedRegions }];
    const path = file("two.json", JSON.stringify({ ...profile, name: "two", sources: {}, devices }));
    for (const command of ["check", "plan"]) {
      expect(iommufd([command, GUEST_FILE, "--profile", path])).toEqual({
        status: 2,
        stdout: "",
        stderr:
          "iommufd: several devices are in profile two, and they differ; say which one with --device: 0000:6a:01.0, 0000:6a:02.0\n",
      });
      expect(iommufd([command, GUEST_FILE, "--profile", path, "--device", "6a:01.0"]).status).toBe(0);
    }
    expect(check(GUEST_FILE, "--profile", path, "--device", "6a:02.0").status).toBe(3);
  });

  it("takes the page size that a plan is made for, as plan does", () => {
    const path = guest(["0x0", "0x1ffff"], ["0x100000", "0x100fff"]);
    const args = ["--profile", "vtd-no-erratum", "--page-size", "64K", "--json"];
    expect(JSON.parse(check(path, ...args).stdout)).toMatchObject({ accepted: true, mappings: 1 });
    expect(JSON.parse(iommufd(["plan", path, ...args]).stdout).skipped).toMatchObject([
      { reason: "sub-page" },
    ]);
    expect(check(path, ...args, "--page-size", "3")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("pageSize must be a power of two of at least 4096"),
    });
  });

  it.each([
    [
      ["--bypass-ro", "off"],
      "pc.rom at 0xc0000-0xdffff, read-only: EINVAL\n  this IOMMU reports ERRATA_772415_SPR17",
    ],
    [["--profile", "none"], "0000:01:00.0: EOPNOTSUPP, IOMMU_HWPT_ALLOC\n  its IOMMU cannot nest"],
  ])("refuses with %j, and says why and what helps: exit 3", (args, words) => {
    const { status, stdout } = check(GUEST_FILE, "--profile", "sapphire-rapids", ...args);
    expect(status).toBe(3);
    expect(stdout).toContain(words);
  });

  it("tells the aperture from what is reserved, and goes on with the rest", () => {
    const path = guest(["0x0", "0x7fffffff"], ["0xfed00000", "0xfeefffff"], ["0x100000000", "0x8fffffffff"]);
    const { status, stdout } = check(path, "--profile", "qemu-vtd", "--json");
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      schema: "iommufd.check/1",
      accepted: false,
      mappings: 3,
      obstacles: [
        {
          region: "ram1",
          code: "EINVAL",
          reason: "reserved",
          conflict: { start: "0xfee00000", last: "0xfeefffff" },
        },
        {
          region: "ram2",
          code: "EINVAL",
          reason: "outside-aperture",
          conflict: { start: "0x0", last: "0x7fffffffff" },
        },
      ],
    });
  });

  it("tells how much memory is locked, and that the limit is too low", () => {
    const profile = JSON.parse(readFileSync("profiles/qemu-vtd.json", "utf8"));
    const path = file("limited.json", JSON.stringify({ ...profile, memlock: "0x8000000" }));
    const wide = guest(["0x0", "0x3fffffff"]);
    const { status, stdout } = check(wide, "--profile", path);
    expect(status).toBe(3);
    expect(stdout).toMatch(/^Plan +refused: the limit on locked memory is too low$/m);
    expect(stdout).toMatch(
      /^Memory +1 GiB locked\n +limit: 128 MiB \(RLIMIT_MEMLOCK\), which is too low: raise the limit/m,
    );
  });

  it("takes several devices", () => {
    const { status, stdout } = check(GUEST_FILE, "--profile", "qemu-vtd", "--device", "00:01.0", "00:02.0");
    expect(status).toBe(0);
    expect(stdout).toContain(
      "locked for all 2 devices in one address space, as here; 511.5 MiB with one for each",
    );
  });

  it("takes a terabyte in no time, and input that is wrong as plan does", () => {
    expect(check(guest(["0x100000000", "0x100ffffffff"]), "--profile", "sapphire-rapids").status).toBe(0);
    expect(check("no-such-file", "--profile", "none")).toMatchObject({ status: 2, stdout: "" });
    expect(check(GUEST_FILE, "--profile", "qemu-vtd", "--device", "1f.0")).toMatchObject({
      status: 2,
      stdout: "",
    });
  });
});
