/** The manners that all commands share. */

import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { iommufd, MAIN, PROJECT } from "./command.ts";

const GUEST = "examples/guest-with-nesting.mtree";

describe("iommufd", () => {
  it("prints its version and its commands, on standard output", () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(iommufd(["--version"])).toEqual({ status: 0, stdout: `${version}\n`, stderr: "" });
    expect(iommufd(["--help"])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/probe[\s\S]*plan[\s\S]*decode/),
    });
    for (const command of [
      "probe",
      "doctor",
      "plan",
      "check",
      "diff",
      "decode",
      "capture",
      "demo",
      "serve",
      "completion",
    ]) {
      expect(iommufd([command, "--help"])).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/Examples?:/),
      });
    }
  });

  it("without a command says which there are: exit 2", () => {
    expect(iommufd([])).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining("Usage: iommufd"),
    });
  });
});

describe("--quiet", () => {
  it("prints results alone", () => {
    expect(iommufd(["probe", "--profile", "sapphire-rapids", "--quiet"])).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringContaining("0000:6a:01.0  intel-vtd  reported"),
    });
    expect(iommufd(["probe", "--backend", "auto", "--json", "--quiet"]).stderr).toBe("");
  });

  it("keeps errors", () => {
    expect(iommufd(["plan", "/no/such/file", "--quiet"])).toMatchObject({
      status: 2,
      stderr: "iommufd: cannot read /no/such/file: ENOENT: no such file or directory\n",
    });
  });
});

describe("what is asked for twice, or is not there", () => {
  it("help of an unknown command says so, and which there are: exit 2", () => {
    expect(iommufd(["help", "nope"])).toEqual({
      status: 2,
      stdout: "",
      stderr: expect.stringMatching(/^iommufd: unknown command 'nope'; there are probe, plan, .*\n$/),
    });
    expect(iommufd(["help", "plan"])).toEqual(iommufd(["plan", "--help"]));
    expect(iommufd(["help"])).toEqual(iommufd(["--help"]));
  });

  it.each([
    [["probe", "--profile", "none", "--json", "--format", "nfd"], "cannot be used with option '--json'"],
    [["plan", GUEST, "--no-nesting", "--json", "--html", "-"], "--json and --html - both write to standard"],
  ])("%j: exit 2", (args, message) => {
    expect(iommufd(args)).toEqual({ status: 2, stdout: "", stderr: expect.stringContaining(message) });
  });

  it("--html - is standard output, and nothing else is on it; --output - too", () => {
    const { status, stdout, stderr } = iommufd(["plan", GUEST, "--no-nesting", "--html", "-"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^<!doctype html>[\s\S]*<\/html>\n$/);
    const captured = iommufd(["capture", "--profile", "none", "--output", "-"]).stdout;
    expect(JSON.parse(captured)).toMatchObject({ schema: "iommufd.profile/1" });
    expect(existsSync(`${PROJECT}-`)).toBe(false);
  });

  it.each([
    [["plan", "--qmp", "/no/such.sock"], 1, "iommufd: /no/such.sock: ENOENT: no such socket\n"],
    [
      ["plan", "--qmp", "LICENSE"],
      1,
      "iommufd: LICENSE: ECONNREFUSED: nobody listens there, or it is not a socket\n",
    ],
    [
      ["plan", "/no/such.mtree"],
      2,
      "iommufd: cannot read /no/such.mtree: ENOENT: no such file or directory\n",
    ],
  ])("%j: said once", (args, status, stderr) => {
    expect(iommufd(args)).toEqual({ status, stdout: "", stderr });
  });

  it("a full disk is one line: exit 1", () => {
    for (const args of [["demo"], ["demo", "--json"], ["--help"], ["completion", "bash"]]) {
      const full = openSync("/dev/full", "w");
      const child = spawnSync(process.execPath, [MAIN, ...args], {
        stdio: ["ignore", full, "pipe"],
        encoding: "utf8",
      });
      closeSync(full);
      expect({ status: child.status, stderr: child.stderr }).toEqual({
        status: 1,
        stderr: "iommufd: cannot write to standard output: ENOSPC: no space left on device\n",
      });
    }
  });
});

describe("colours", () => {
  /** Standard output of doctor on a terminal. */
  const onTerminal = (settings: Record<string, string>) => {
    // On a terminal of a person, not of a continuous integration.
    const { NO_COLOR: _, CI: __, ...env } = process.env;
    const command = `${process.execPath} ${MAIN} doctor`;
    const options = { encoding: "utf8", env: { ...env, TERM: "xterm-256color", ...settings } } as const;
    return spawnSync("script", ["-qec", command, "/dev/null"], options).stdout;
  };

  it("are on terminals alone, and not where NO_COLOR says so", () => {
    expect(onTerminal({})).toContain("\u001b[32mpass\u001b[39m");
    expect(onTerminal({ NO_COLOR: "1" })).not.toContain("\u001b[3");
    expect(onTerminal({ TERM: "dumb" })).not.toContain("\u001b[3");
    expect(iommufd(["doctor"], "", { NO_COLOR: "" }).stdout).not.toContain("\u001b");
  });
});
