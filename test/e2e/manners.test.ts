/** What all commands have in common. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { iommufd, MAIN } from "./command.ts";

describe("iommufd", () => {
  it("tells its version and its commands, on standard output", () => {
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
      stderr: "iommufd: cannot read /no/such/file: ENOENT: no such file or directory, open '/no/such/file'\n",
    });
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
