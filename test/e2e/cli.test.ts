/** The commands that look and decide: plan, probe, demo, capture. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { readCapture } from "../fixtures/captures.ts";
import { profileJson } from "../fixtures/profiles.ts";
import { iommufd, MAIN, ORIGIN } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const GUEST = "examples/guest-with-nesting.mtree";

const { file } = temporaryFiles();

describe("iommufd plan", () => {
  it("--json is the documented document, to the letter", () => {
    const { status, stdout, stderr } = iommufd(["plan", GUEST, "--profile", "sapphire-rapids", "--json"]);
    expect(status).toBe(0);
    expect(stderr).toBe("iommufd: software backend (asked for; model of sapphire-rapids)\n");
    const ram = { readonly: false, region: "pc.ram", ramDevice: false };
    expect(JSON.parse(stdout)).toEqual({
      schema: "iommufd.plan/1",
      ...ORIGIN.modelOf("sapphire-rapids"),
      addressSpace: "memory",
      pageSize: 4096,
      nesting: true,
      bypassRo: true,
      reason:
        "nesting is wanted and the IOMMU reports ERRATA_772415_SPR17: its nest parent must have no read-only mapping",
      map: [
        { iova: "0x0", length: "0xc0000", offsetInRegion: "0x0", ...ram },
        { iova: "0x100000", length: "0xff00000", offsetInRegion: "0x100000", ...ram },
      ],
      skipped: [
        { start: "0xc0000", last: "0xdffff", region: "pc.rom", reason: "read-only" },
        { start: "0xe0000", last: "0xfffff", region: "pc.bios", reason: "read-only" },
        { start: "0xfec00000", last: "0xfec00fff", region: "ioapic", reason: "not-ram" },
        { start: "0xfed00000", last: "0xfed003ff", region: "hpet", reason: "not-ram" },
        { start: "0xfed90000", last: "0xfed9022f", region: "intel_iommu", reason: "not-ram" },
        { start: "0xfee00000", last: "0xfeefffff", region: "apic-msi", reason: "not-ram" },
        { start: "0xfffc0000", last: "0xffffffff", region: "pc.bios", reason: "read-only" },
      ],
      totals: { mapped: "0xffc0000", skippedReadOnly: "0x80000", sections: 9 },
      memoryMap: { damage: null, uncertain: [] },
    });
  });

  it("reads standard input", () => {
    const fromFile = iommufd(["plan", GUEST, "--bypass-ro", "on", "--json"]);
    const fromStdin = iommufd(["plan", "-", "--bypass-ro", "on", "--json"], readCapture("q35-nest", "mtree"));
    expect(fromStdin.stdout).toBe(fromFile.stdout);
    expect(fromStdin.stderr).toBe("");
  });

  it.each([
    [["--no-nesting"], false, "nesting is not wanted, so there is no nest parent", 5],
    [["--bypass-ro", "off"], false, "set by hand", 5],
    [["--bypass-ro", "on"], true, "set by hand", 2],
    [
      ["--profile", "vtd-no-erratum"],
      false,
      "nesting is wanted and the IOMMU does not report ERRATA_772415_SPR17",
      5,
    ],
    [["--profile", "none"], false, "nesting is wanted and the IOMMU does not report ERRATA_772415_SPR17", 5],
    [["--profile", "qemu-vtd", "--device", "00:02.0"], true, "nesting is wanted and the IOMMU reports", 2],
    [
      ["--profile", "sapphire-rapids", "--bypass-ro", "off"],
      false,
      "set by hand, although the IOMMU reports ERRATA_772415_SPR17",
      5,
    ],
  ])("%j: bypassRo %s", (flags, bypassRo, reason, mapped) => {
    const { status, stdout } = iommufd(["plan", GUEST, ...flags, "--json"]);
    const document = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(document).toMatchObject({ bypassRo, reason: expect.stringContaining(reason) });
    expect(document.map).toHaveLength(mapped);
  });

  it("takes another address space, and lists them where there is none of that name", () => {
    const { stdout } = iommufd([
      "plan",
      GUEST,
      "--bypass-ro",
      "on",
      "--address-space",
      "cpu-smm-0",
      "--json",
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ addressSpace: "cpu-smm-0", totals: { sections: 9 } });
    expect(iommufd(["plan", GUEST, "--bypass-ro", "on", "--address-space", "memroy"])).toEqual({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining(`iommufd: ${GUEST}: no address space "memroy"; there are "memory",`),
    });
  });

  it("follows the page size", () => {
    const { stdout } = iommufd(["plan", GUEST, "--bypass-ro", "off", "--page-size", "128K", "--json"]);
    const { pageSize, skipped } = JSON.parse(stdout);
    expect(pageSize).toBe(131072);
    expect(skipped).toHaveLength(4);
  });

  it("reads a JSON section list", () => {
    const list = file(
      "sections.json",
      '{"schema":"iommufd.sections/1","sections":[{"start":"0x0","last":"0x1fff","type":"ram","region":"r"}]}',
    );
    const { status, stdout } = iommufd(["plan", list, "--no-nesting", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).map).toMatchObject([{ iova: "0x0", length: "0x2000", region: "r" }]);
  });

  it("says on standard error what is misaligned", () => {
    const map = file(
      "odd.mtree",
      'FlatView #0\n AS "memory", root: system\n  0000000000000000-0000000000001fff (prio 0, ram): odd @0000000000000800\n',
    );
    const { status, stdout, stderr } = iommufd(["plan", map, "--no-nesting", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).skipped).toMatchObject([{ region: "odd", reason: "misaligned" }]);
    expect(stderr).toContain("odd at 0x0 is not aligned like its region, and not mapped");
  });

  it("shows hostile region names for what they are", () => {
    const map = file(
      "hostile.mtree",
      'FlatView #0\n AS "memory", root: system\n  0000000000000000-0000000000000fff (prio 0, ram): a\u009b31mb\u202ec\n',
    );
    const { stdout } = iommufd(["plan", map, "--no-nesting"]);
    expect(stdout).toContain("a\\u{9b}31mb\\u{202e}c");
  });

  it.each([
    [
      ["plan"],
      "iommufd: say where the memory map is, once: a file (- is standard input), --qmp with the socket of a running QEMU, or --libvirt with a domain\n",
    ],
    [["plan", "a", "b"], "iommufd: too many arguments"],
    [["plan", "a", "--qmp", "b"], "iommufd: say where the memory map is, once"],
    [["plan", GUEST, "--bypass-ro", "maybe"], "Allowed choices are auto, on, off"],
    [
      ["plan", GUEST, "--page-size", "4000", "--no-nesting"],
      "pageSize must be a power of two of at least 4096",
    ],
    [["plan", GUEST, "--page-size", "big"], "It must be a size in bytes, such as 4096 or 64K"],
    [["plan", GUEST, "--nosuch"], "iommufd: unknown option '--nosuch'"],
    [["plan", GUEST, "--backend", "hardware"], "Allowed choices are auto, kernel, software"],
    [["plan", GUEST, "--backend", "kernel", "--profile", "none"], "goes with the software backend"],
    [
      ["plan", GUEST, "--profile", "icelake"],
      'no profile "icelake"; there are none, qemu-amd, qemu-smmuv3, qemu-vtd,',
    ],
    [["plan", GUEST, "--profile", "none", "--device", "x"], "bdf must be a PCI address"],
    [["plan", "/no/such/file", "--no-nesting"], "cannot read /no/such/file: ENOENT"],
    [["plan", "examples", "--no-nesting"], "cannot read examples: EISDIR"],
    [["plan", "LICENSE", "--no-nesting"], "LICENSE: no flat view in it"],
    [["plan", "-", "--no-nesting"], "standard input: the input is empty"],
    [["plna", GUEST], "iommufd: unknown command 'plna' (Did you mean plan?)\n"],
    [
      ["decode", "--root", "examples"],
      "no VT-d unit in /sys/class/iommu (it is empty): give both --cap and --ecap",
    ],
    [["decode", "--cap", "0x1"], "give both --cap and --ecap"],
    [["decode", "--cap", "hello", "--ecap", "0"], "It must be a hexadecimal number of at most 64 bits"],
    [["decode", "--cap", "1", "--dmesg", "-"], "cannot be used with option"],
    [["decode", "--dmesg", GUEST], `${GUEST}: no line "DMAR: dmarN:`],
    [
      ["probe", "--profile", "./no-such.json"],
      "cannot read the profile ./no-such.json: ENOENT: no such file or directory\n",
    ],
    [["probe", "--profile", "none", "1f.0"], 'bdf must be a PCI address such as "0000:6a:01.0"'],
  ])("%j is a usage error: exit 2, and one clear line", (args, message) => {
    const { status, stdout, stderr } = iommufd(args);
    expect(status).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^iommufd: /);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it("a device that is not there is a failure: exit 1; --debug shows where it comes from", () => {
    const args = ["plan", GUEST, "--profile", "none", "--device", "00:1f.0"];
    expect(iommufd(args)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^iommufd: 0000:00:1f.0: no such device in profile none .*\n$/m),
    });
    expect(iommufd([...args, "--debug"]).stderr).toMatch(/^\s+at /m);
  });

  it("ends in silence where the reader of its output does", async () => {
    const child = spawn(process.execPath, [MAIN, "plan", GUEST, "--bypass-ro", "on"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.stdout.destroy();
    const [status] = await once(child, "close");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  it("reads input of a size that no guest has, in seconds", () => {
    const hex = (value: number) => value.toString(16).padStart(16, "0");
    const lines = Array.from(
      { length: 100_000 },
      (_, index) => `  ${hex(index * 4096)}-${hex(index * 4096 + 4095)} (prio 0, ram): r${index}`,
    );
    const { status, stdout } = iommufd(
      ["plan", "-", "--no-nesting", "--json"],
      `FlatView #0\n AS "memory", root: x\n${lines.join("\n")}\n`,
    );
    expect(status).toBe(0);
    expect(JSON.parse(stdout).totals).toEqual({
      mapped: "0x186a0000",
      skippedReadOnly: "0x0",
      sections: 100_000,
    });
  });
});

describe("iommufd probe", () => {
  it("--json is the documented document", () => {
    const { status, stdout } = iommufd(["probe", "--profile", "sapphire-rapids", "--json"]);
    expect(status).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      schema: "iommufd.probe/1",
      ...ORIGIN.modelOf("sapphire-rapids"),
    });
    expect(document.devices).toHaveLength(2);
    expect(document.devices[0]).toEqual({
      bdf: "0000:6a:01.0",
      cdev: "/dev/vfio/devices/vfio0",
      type: "intel-vtd",
      typeId: 1,
      flags: ["ERRATA_772415_SPR17"],
      capReg: "0x19ed008c40780c66",
      ecapReg: "0x3ef9e86f050df",
      outCapabilities: ["DIRTY_TRACKING"],
      maxPasidLog2: 20,
      erratum772415: true,
      quirks: ["NESTING_PARENT_BYPASS_RO"],
      iovaRanges: [
        { start: "0x0", last: "0xfedfffff" },
        { start: "0xfef00000", last: "0xffffffffffffff" },
      ],
      nestParent: true,
      error: null,
    });
  });

  it("reports a device that is not there in its row, and does not stop at it", () => {
    const { status, stdout } = iommufd(["probe", "00:1f.0", "00:02.0", "--profile", "qemu-vtd", "--json"]);
    expect(status).toBe(1);
    expect(JSON.parse(stdout).devices).toMatchObject([
      {
        bdf: "0000:00:1f.0",
        cdev: null,
        type: null,
        erratum772415: null,
        error: { code: "ERR_IOMMUFD_NO_DEVICE" },
      },
      { bdf: "0000:00:02.0", erratum772415: true, error: null },
    ]);
  });

  it("what went wrong stands under the table, not in its columns", () => {
    const { status, stdout } = iommufd(["probe", "--profile", "qemu-vtd", "00:1f.0", "00:02.0"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^0000:00:1f\.0 {2}\? +\? +\? +\? +\?$/m);
    expect(stdout).toMatch(/\n\n0000:00:1f\.0: no such device in profile qemu-vtd .*\n$/);
  });

  it("is a table for people", () => {
    const { status, stdout } = iommufd(["probe", "--profile", "none"]);
    expect(status).toBe(0);
    expect(stdout).toBe(
      "Asked     software backend (asked for; model of none), as Linux 7.2; iommufd 0.2.0, 2026-01-01T00:00:00Z\n\n" +
        "device        IOMMU  erratum 772415  nest parent  PASID  IOVA ranges\n0000:01:00.0  none   not reported    refused      no     0x0-0xffffffffffff\n",
    );
  });

  it("--trace prints every ioctl to standard error", () => {
    const { stderr } = iommufd(["probe", "--profile", "qemu-vtd", "00:01.0", "--trace"]);
    expect(stderr.split("\n")).toEqual([
      "VFIO_DEVICE_BIND_IOMMUFD() = 1",
      "IOMMU_GET_HW_INFO(1, 256) = type=1, dataLength=24, maxPasidLog2=0, capabilities=0x8",
      "IOMMU_IOAS_ALLOC() = 2",
      "IOMMU_HWPT_ALLOC(deviceId=1, ptId=2, flags=1) = 3",
      "IOMMU_DESTROY(3)",
      "IOMMU_DESTROY(2)",
      "IOMMU_IOAS_ALLOC() = 2",
      "VFIO_DEVICE_ATTACH_IOMMUFD_PT(2) = 3",
      "IOMMU_IOAS_IOVA_RANGES(2) = ranges=[{start=0x0, last=0xfedfffff}, {start=0xfef00000, last=0x7fffffffff}], alignment=0x1000",
      "VFIO_DEVICE_DETACH_IOMMUFD_PT()",
      "IOMMU_DESTROY(2)",
      "",
    ]);
  });
});

describe("iommufd demo", () => {
  it("shows in JSON what it shows people", () => {
    const { status, stdout, stderr } = iommufd(["demo", "--json"]);
    expect([status, stderr]).toEqual([0, ""]);
    const { schema, cases } = JSON.parse(stdout);
    expect(schema).toBe("iommufd.demo/1");
    expect(
      cases.map((each: { rom: string; refused: string; arrived: boolean; changed: unknown[] }) => [
        each.rom,
        each.refused,
        each.arrived,
        each.changed.length,
      ]),
    ).toEqual([
      ["read-only", null, true, 4],
      ["read-only", "EINVAL", false, 0],
      ["not mapped", null, false, 0],
      ["read-only", null, false, 0],
    ]);
    expect(cases[0].changed[3]).toEqual({ address: "0xf3008", before: "0x5003", after: "0x5063" });
  });
});

describe("iommufd capture", () => {
  it("writes a profile that can be given back", () => {
    const captured = iommufd(["capture", "--profile", "sapphire-rapids", "--name", "mine"]);
    expect(captured.status).toBe(0);
    const path = file("captured.json", captured.stdout);
    const probe = (profile: string) =>
      JSON.parse(iommufd(["probe", "--profile", profile, "--json"]).stdout).devices;
    expect(probe(path)).toEqual(probe("sapphire-rapids"));
  });

  it("fails where there is nothing to capture, or nothing that a profile has words for", () => {
    expect(iommufd(["capture", "--profile", "qemu-vtd", "1f.0"])).toMatchObject({ status: 2, stdout: "" });
    expect(iommufd(["capture", "--profile", "qemu-vtd", "0:1f.0"])).toMatchObject({ status: 2, stdout: "" });
  });
});

describe("iommufd probe --fail-on", () => {
  it.each([
    ["sapphire-rapids", 3],
    ["vtd-no-erratum", 0],
    ["none", 0],
  ])("erratum, of %s: exit %i", (profile, status) => {
    expect(iommufd(["probe", "--profile", profile, "--fail-on", "erratum"]).status).toBe(status);
  });

  it("says that it could not find out: exit 1", () => {
    expect(iommufd(["probe", "00:1f.0", "--profile", "none", "--fail-on", "erratum"]).status).toBe(1);
  });

  it("of no device at all: that it is not known, exit 1, in every format", () => {
    const empty = file("empty.json", JSON.stringify({ ...profileJson("none"), devices: [] }));
    for (const format of ["table", "json", "prometheus", "nfd"]) {
      const args = ["probe", "--profile", empty, "--format", format];
      expect(iommufd(args).status).toBe(0);
      const { status, stderr } = iommufd([...args, "--fail-on", "erratum", "--quiet"]);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr:
          "iommufd: no device was asked, so it is not known whether an IOMMU of this host has the erratum (--fail-on)\n",
      });
    }
  });

  it("something else: exit 2", () => {
    expect(iommufd(["probe", "--fail-on", "rain"])).toMatchObject({ status: 2, stdout: "" });
  });
});
