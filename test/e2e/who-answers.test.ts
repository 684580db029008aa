/** The kernel answers unless a model is asked for, and every report says who did. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { originFields, VERSION } from "../../lib/origin.ts";
import { profileJson } from "../fixtures/profiles.ts";
import { iommufd, MAIN, ORIGIN, TIME } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const GUEST = "examples/guest-with-nesting.mtree";
const REGISTERS = ["--cap", "0xd2008c22260286", "--ecap", "0x480084f00f4a"];
const { directory, file } = temporaryFiles();

describe.skipIf(existsSync("/dev/iommu"))("without a kernel to ask", () => {
  it.each([
    [["probe", "6a:01.0"]],
    [["probe", "--fail-on", "erratum"]],
    [["probe", "--json"]],
    [["check", GUEST]],
    [["plan", GUEST]],
    [["plan", GUEST, "--bypass-ro", "on", "--device", "6a:01.0"]],
    [["capture"]],
  ])("%j fails: exit 1, one line that says how a model is asked", (args) => {
    const { status, stdout, stderr } = iommufd(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(/^iommufd: the kernel backend cannot be used: .*--profile.*--backend auto\)\n$/);
  });

  it.each([
    [["--backend", "auto"], {}, /^no \/dev\/iommu: .*; model of sapphire-rapids$/],
    [["--backend", "software"], {}, /^asked for; model of sapphire-rapids$/],
    [["--profile", "none"], {}, /^asked for; model of none$/],
    [[], { IOMMUFD_BACKEND: "auto" }, /^no \/dev\/iommu: .*; model of sapphire-rapids$/],
    [[], { IOMMUFD_BACKEND: "software" }, /^IOMMUFD_BACKEND=software; model of sapphire-rapids$/],
    [["--profile", "none"], { IOMMUFD_BACKEND: "kernel" }, /^asked for; model of none$/],
  ])("%j %j: a model answers", (args, settings, reason) => {
    const { status, stdout, stderr } = iommufd(["probe", ...args, "--json"], "", settings);
    expect(status).toBe(0);
    const { backend, backendReason } = JSON.parse(stdout);
    expect(backend).toBe("software");
    expect(backendReason).toMatch(reason);
    expect(stderr).toBe(`iommufd: software backend (${backendReason})\n`);
  });

  it("IOMMUFD_BACKEND is auto, kernel or software: else exit 2", () => {
    expect(iommufd(["probe"], "", { IOMMUFD_BACKEND: "modell" })).toEqual({
      status: 2,
      stdout: "",
      stderr:
        'iommufd: IOMMUFD_BACKEND in the environment must be auto, kernel or software, it is "modell"\n',
    });
    expect(iommufd(["probe"], "", { IOMMUFD_BACKEND: "kernel" }).status).toBe(1);
  });

  it("labels and metrics are of no model that was not named", () => {
    for (const args of [[], ["--backend", "auto"]])
      expect(iommufd(["probe", "--format", "nfd", ...args]).stdout).toBe("iommufd.available=false\n");
    for (const backend of ["auto", "software"])
      for (const [format, absent] of [
        ["nfd", "iommufd.available=false\n"],
        ["prometheus", "\niommufd_available 0\n"],
      ] as const)
        expect(iommufd(["probe", "--format", format], "", { IOMMUFD_BACKEND: backend }).stdout).toContain(
          absent,
        );
    expect(iommufd(["probe", "--format", "nfd", "--quiet"]).stderr).toBe("");
  });

  it("a plan that no IOMMU decides needs none", () => {
    for (const args of [["--no-nesting"], ["--bypass-ro", "on"], ["--bypass-ro", "off"]])
      expect(iommufd(["plan", GUEST, ...args]).status).toBe(0);
  });
});

describe("a report", () => {
  const host = ["--profile", "qemu-vtd", "--device", "00:01.0"];
  const plan = file("plan.json", iommufd(["plan", GUEST, "--no-nesting", "--json"]).stdout);
  const recorded = { ...ORIGIN.nobody, backendReason: `recorded tree ${directory}` };
  const model = ORIGIN.modelOf("qemu-vtd");
  const demo = "models of sapphire-rapids and vtd-no-erratum";

  it.each([
    [["probe", "--profile", "qemu-vtd"], model],
    [["plan", GUEST, ...host], model],
    [["plan", GUEST, "--no-nesting"], ORIGIN.nobody],
    [["check", GUEST, ...host], model],
    [["doctor", "--root", directory], recorded],
    [["diff", plan, plan], ORIGIN.nobody],
    [["decode", ...REGISTERS], ORIGIN.nobody],
    [["demo"], { ...model, profile: null, backendReason: demo, modelledKernelRelease: null }],
  ])("%j says who answered: text in its first line, JSON in fields", (args, origin) => {
    const { backend, backendReason, modelledKernelRelease: release } = origin;
    const who = backend === null ? (backendReason ?? "no IOMMU") : `software backend (${backendReason})`;
    const as = release === null ? "" : `, as Linux ${release}`;
    expect(iommufd(args).stdout.split("\n")[0]).toBe(`Asked     ${who}${as}; iommufd ${VERSION}, ${TIME}`);
    const [schema, ...fields] = Object.entries(JSON.parse(iommufd([...args, "--json"]).stdout));
    expect(schema?.[0]).toBe("schema");
    expect(Object.fromEntries(fields.slice(0, Object.keys(origin).length))).toEqual(origin);
  });

  it("the Linux that a model answers as is that of its profile, or the newest that is modelled", () => {
    const profile = { ...profileJson("qemu-vtd"), name: "mine" };
    for (const [kernelRelease, expected] of [
      ["6.12.48-amd64", "6.12.48-amd64"],
      [null, "7.2"],
    ] as const) {
      const path = file("old.json", JSON.stringify({ ...profile, kernelRelease }));
      const { stdout } = iommufd(["probe", "--profile", path]);
      expect(stdout).toMatch(/^Asked {5}software backend \(asked for; model of mine\), as Linux /);
      expect(stdout).toContain(`, as Linux ${expected}; iommufd`);
      const [plan, captured] = [["plan", GUEST], ["capture"]].map((args) =>
        JSON.parse(iommufd([...args, "--profile", path, "--json"]).stdout),
      );
      expect(plan).toMatchObject({ kernelRelease: null, modelledKernelRelease: expected });
      // A profile has there what is to be modelled.
      expect(captured).toMatchObject({ kernelRelease: expected, modelledKernelRelease: expected });
    }
  });

  it("a page says it too", () => {
    for (const command of ["plan", "check"]) {
      const path = `${directory}/${command}.html`;
      expect(iommufd([command, GUEST, ...host, "--html", path]).status).toBe(0);
      expect(readFileSync(path, "utf8")).toContain(
        "<dt>Host</dt><dd><p>none: a model answered as Linux 7.2.13<",
      );
      expect(readFileSync(path, "utf8")).toMatch(
        /<dt>Time<\/dt><dd><p>20\d\d-.*\n<dt>Version<\/dt><dd><p>iommufd [\d.]+<.*\n<dt>Backend<\/dt><dd><p>software \(asked for; model of qemu-vtd\)</,
      );
    }
  });

  it("is of the present", () => {
    const before = Math.floor(Date.now() / 1000) * 1000;
    const output = execFileSync(process.execPath, [MAIN, "demo", "--json"], { encoding: "utf8" });
    const time = new Date(JSON.parse(output).time).getTime();
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
  });

  it("of a recorded tree names that machine, and its kernel", () => {
    const tree = `${directory}/tree`;
    mkdirSync(`${tree}/proc/sys/kernel`, { recursive: true });
    writeFileSync(`${tree}/proc/sys/kernel/hostname`, "node7\n");
    writeFileSync(`${tree}/proc/sys/kernel/osrelease`, "6.17.1\n");
    expect(iommufd(["doctor", "--root", tree]).stdout.split(";")[0]).toBe(
      `Asked     recorded tree ${tree}, node7, Linux 6.17.1`,
    );
    const { stdout } = iommufd(["doctor", "--root", tree, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ backend: null, hostName: "node7", kernelRelease: "6.17.1" });
  });

  it("diff has who answered for either plan, and reads plans of releases that did not say", () => {
    const { backend: _, time: __, iommufdVersion: ___, ...old } = JSON.parse(readFileSync(plan, "utf8"));
    const { stdout } = iommufd(["diff", plan, file("old.json", JSON.stringify(old)), "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ before: { backend: null, iommufdVersion: VERSION } });
    expect(JSON.parse(stdout).after).not.toHaveProperty("backend");
  });
});

describe("capture", () => {
  it("says who answered, and --output writes whole or not at all", () => {
    const path = `${directory}/host.json`;
    const args = ["capture", "--profile", "qemu-vtd", "--output", path];
    expect(iommufd([...args, "--quiet"])).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(Object.keys(JSON.parse(readFileSync(path, "utf8")))).toEqual(
      expect.arrayContaining(Object.keys(originFields().shape)),
    );
    expect(iommufd(["probe", "--profile", path]).status).toBe(0);
    const before = readFileSync(path, "utf8");
    expect(iommufd([...args, "0000:7f:00.0"])).toMatchObject({ status: 1, stdout: "" });
    expect(readFileSync(path, "utf8")).toBe(before);
    expect(readdirSync(directory).filter((name) => name.startsWith("."))).toEqual([]);
    expect(iommufd(["capture", "--profile", "none", "--output", `${directory}/none/x`])).toMatchObject({
      status: 1,
      stdout: "",
    });
  });
});
