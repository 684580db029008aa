/** Texts as a terminal or a pipe shows them: how wide, in which colours, and help in groups. */

import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { iommufd, MAIN, PROJECT } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const GUEST = "examples/guest-with-nesting.mtree";
const { file } = temporaryFiles();
const REGISTERS = ["--cap", "0xd2008c22260286", "--ecap", "0xffff480084f00f4a"];

/** A command line of each command that writes text, with what is coloured. */
const TEXTS = [
  [["probe", "--profile", "qemu-vtd"], "\u001b[33mreported\u001b[39m"],
  [["probe", "--profile", "none"], "\u001b[31mrefused\u001b[39m"],
  [["plan", GUEST, "--profile", "sapphire-rapids"], "\u001b[33mchanged:\u001b[39m"],
  [["plan", GUEST, "--bypass-ro", "on"], "\u001b[33mskip: read-only\u001b[39m"],
  [["check", GUEST, "--profile", "sapphire-rapids"], "\u001b[32maccepted:\u001b[39m"],
  [["check", GUEST, "--profile", "sapphire-rapids", "--bypass-ro", "off"], "\u001b[31mEINVAL\u001b[39m"],
  [["check", GUEST, "--profile", "none"], "\u001b[31mrefused:\u001b[39m"],
  [["decode", ...REGISTERS], "\u001b[33mset although reserved"],
  [["demo"], "\u001b[31mthe ROM was changed\u001b[39m"],
  [["doctor"], "\u001b["],
] as const;

const plans = () =>
  ["off", "on"].map((when) => {
    const { stdout } = iommufd(["plan", GUEST, "--bypass-ro", when, "--json"]);
    return file(`${when}.json`, stdout);
  });

/** The command on a terminal of a width. */
function onTerminal(args: readonly string[], columns: number, settings: Record<string, string> = {}): string {
  const { NO_COLOR: _, FORCE_COLOR: __, CI: ___, ...env } = process.env;
  const line = [process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(" ");
  return spawnSync("script", ["-qec", `stty cols ${columns}; ${line}`, "/dev/null"], {
    encoding: "utf8",
    cwd: PROJECT,
    env: { ...env, TERM: "xterm-256color", ...settings },
  }).stdout.replaceAll("\r", "");
}

const withoutColours = (text: string) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  text.replaceAll(/\u001b\[\d+m/g, "");

/** The lines that are wider than allowed, but for commands to be pasted, which are indented and never broken. */
const tooWide = (text: string, width: number) =>
  withoutColours(text)
    .split("\n")
    .filter((line) => line.length > width && !line.startsWith("     "));

describe("colours", () => {
  it.each(TEXTS)("%j: with FORCE_COLOR, and none in a pipe, which is 120 columns wide", (args, painted) => {
    const { stdout } = iommufd(args, "", { FORCE_COLOR: "1" });
    expect(stdout).toContain(painted);
    const plain = iommufd(args).stdout;
    expect(plain).toBe(withoutColours(stdout));
    expect(tooWide(plain, 120)).toEqual([]);
  });

  it.each([{ FORCE_COLOR: "0" }, { NO_COLOR: "1" }])("none with %j", (settings) => {
    expect(iommufd(["demo"], "", settings).stdout).not.toContain("\u001b");
  });

  it("of a diff, of errors and of help", () => {
    const [before = "", after = ""] = plans();
    const colours = { FORCE_COLOR: "1", NO_COLOR: "1" };
    expect(iommufd(["diff", before, after], "", colours).stdout).toContain(
      "\u001b[33mskip: read-only\u001b[39m",
    );
    expect(iommufd(["plan", "/no/such"], "", colours).stderr).toContain(
      "\u001b[31miommufd:\u001b[39m cannot read",
    );
    expect(iommufd(["plan", "--help"], "", colours).stdout).toContain("\u001b[1mHost:\u001b[22m");
    expect(iommufd(["plan", "--help"]).stdout).not.toContain("\u001b");
  });

  it("FORCE_COLOR has the last word, without a warning; documents and files have none", () => {
    const both = { FORCE_COLOR: "1", NO_COLOR: "1" };
    const { stdout, stderr } = iommufd(["demo"], "", both);
    expect(stdout).toContain("\u001b[31m");
    expect(stderr).not.toContain("NO_COLOR");
    for (const args of [
      ["demo", "--json"],
      ["probe", "--profile", "none", "--output", "/dev/stdout"],
      ["plan", GUEST, "--bypass-ro", "on", "--html", "-"],
      ["completion", "bash"],
    ])
      expect(iommufd(args, "", both).stdout).not.toContain("\u001b");
  });

  it("on a terminal, and not where NO_COLOR or TERM=dumb says so", () => {
    expect(onTerminal(["demo"], 80)).toContain("\u001b[31mthe ROM was changed\u001b[39m");
    for (const settings of [{ NO_COLOR: "1" }, { TERM: "dumb" }])
      expect(onTerminal(["demo"], 80, settings)).not.toContain("\u001b[3");
  });
});

describe("width", () => {
  const names = "capture check completion decode demo diff doctor help plan probe serve".split(" ");
  const helps = [["--help"], ...names.map((name) => [name, "--help"])];

  it.each(helps)("iommufd %s %s: 120 in a pipe", (...args) => {
    expect(tooWide(iommufd(args).stdout, 120)).toEqual([]);
  });

  it.each([80, 100])("a terminal's, of %i columns", (columns) => {
    for (const args of [["plan", "--help"], TEXTS[2][0], [...TEXTS[5][0], "--quiet"]])
      expect(tooWide(onTerminal(args, columns), columns)).toEqual([]);
  });

  it("120 of a terminal that is wider, and names of regions are broken", () => {
    const region = "x".repeat(300);
    const sections = [{ start: "0x0", last: "0xfffff", type: "ram", region }];
    const input = file("long.json", JSON.stringify({ schema: "iommufd.sections/1", sections }));
    const shown = onTerminal(["plan", input, "--no-nesting"], 200);
    expect(tooWide(shown, 120)).toEqual([]);
    expect(shown.replaceAll(/\s/g, "")).toContain(region);
  });
});

describe("help", () => {
  it.each([
    ["plan", ["Input:", "Host:", "Output:", "Diagnosis:"]],
    ["check", ["Input:", "Host:", "Output:", "Diagnosis:"]],
    ["probe", ["Host:", "Output:", "Diagnosis:"]],
    ["capture", ["Host:", "Output:", "Diagnosis:"]],
    ["serve", ["Host:", "Output:", "Diagnosis:"]],
    ["doctor", ["Host:", "Output:", "Diagnosis:"]],
    ["decode", ["Input:", "Host:", "Output:", "Diagnosis:"]],
    ["diff", ["Output:", "Diagnosis:"]],
    ["demo", ["Output:", "Diagnosis:"]],
  ])("of %s lists options in groups", (command, groups) => {
    const { stdout } = iommufd([command, "--help"]);
    const headings = [...stdout.matchAll(/^[A-Z]\w+:$/gm)].map(([heading]) => heading);
    expect(headings.filter((heading) => !/^(Arguments|Examples?):/.test(heading))).toEqual(groups);
    expect(stdout).toMatch(/Diagnosis:\n(?: .*\n)* {2}-h, --help /);
  });

  it("has --device first of what is about the host", () => {
    for (const command of ["plan", "check"])
      expect(iommufd([command, "--help"]).stdout).toMatch(/\nHost:\n {2}--device /);
  });
});
