/** `iommufd diff`: which changes it lists, and its exit codes. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { iommufd, PROJECT } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

describe("iommufd diff", () => {
  const GUEST_FILE = "examples/guest-with-nesting.mtree";
  const { file } = temporaryFiles();
  const planOf = (setting: string) => iommufd(["plan", GUEST_FILE, "--bypass-ro", setting, "--json"]).stdout;
  const before = file("before.json", planOf("off"));

  it("tells what bypassRo changes", () => {
    const json = iommufd(["diff", before, "-", "--json"], planOf("on"));
    expect(json).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(json.stdout)).toMatchObject({
      schema: "iommufd.diff/1",
      before: { addressSpace: "memory", bypassRo: false },
      after: { addressSpace: "memory", bypassRo: true },
      changes: [
        {
          start: "0xc0000",
          last: "0xdffff",
          before: { mapped: true, region: "pc.rom", readonly: true, offsetInRegion: "0x0" },
          after: { mapped: false, region: "pc.rom", reason: "read-only" },
        },
        { start: "0xe0000", last: "0xfffff" },
        { start: "0xfffc0000", last: "0xffffffff" },
      ],
      totals: { mappedAnew: "0x0", noLongerMapped: "0x80000" },
    });
  });

  it("prints what docs/commands.md shows", () => {
    const { stdout } = iommufd(["diff", before, "-"], planOf("on"));
    expect(stdout).toContain("\nmap read-only  skip: read-only  0xc0000-0xdffff        128 KiB  pc.rom\n");
    expect(readFileSync(`${PROJECT}docs/commands.md`, "utf8")).toContain(stdout);
  });

  it("of a plan and itself says so; --fail-on change tells scripts", () => {
    expect(iommufd(["diff", before, before, "--fail-on", "change"])).toEqual({
      status: 0,
      stdout: expect.stringMatching(
        /^Asked .*\nBefore .*\nAfter .*\nBoth do the same with every address\.\n$/,
      ),
      stderr: "",
    });
    expect(iommufd(["diff", before, "-", "--fail-on", "change"], planOf("on")).status).toBe(3);
  });

  it.each([
    [["-", "-"], "iommufd: only one of the two plans can come from standard input\n"],
    [[before, "/no/such/plan"], "iommufd: cannot read /no/such/plan: "],
    [[before, GUEST_FILE], `iommufd: ${GUEST_FILE}:1:1: not JSON: `],
    [[before], "missing required argument 'after'"],
  ])("%j: exit 2", (args, message) => {
    expect(iommufd(["diff", ...args])).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining(message),
    });
  });
});
