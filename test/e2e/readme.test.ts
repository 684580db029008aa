/** The README is true: its commands are run, and what it shows of their output is what comes out. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { iommufd, PROJECT } from "./command.ts";

const readme = readFileSync(`${PROJECT}/README.md`, "utf8");
const { scripts } = JSON.parse(readFileSync(`${PROJECT}/package.json`, "utf8")) as {
  scripts: Record<string, string>;
};

/** Commands that the README shows with their output. */
const shown = [...readme.matchAll(/^```console\n\$ (.*)\n([\s\S]*?)^```$/gm)]
  .map(([, command = "", output = ""]) => ({ command, output }))
  .filter(({ output }) => output !== "");

/** What a terminal shows for a command of the README. */
function run(command: string): string {
  const [, line = "", lines] = /^(.*?)(?: \| head -n (\d+))?$/.exec(command) ?? [];
  const words = (line === "npm start" ? (scripts["start"] ?? "") : line).split(" ");
  expect(words.slice(0, 2)).toEqual(line === "npm start" ? ["node", "dist/cli/main.js"] : ["npx", "iommufd"]);
  const { stdout, stderr } = iommufd(words.slice(2));
  return lines === undefined
    ? stderr + stdout
    : `${stderr}${stdout.split("\n").slice(0, Number(lines)).join("\n")}\n`;
}

describe("README.md", () => {
  it("shows commands with their output", () => {
    expect(shown.map(({ command }) => command.replace(/^npx /, "").split(" ").slice(0, 2).join(" "))).toEqual(
      [
        "npm start",
        "iommufd probe",
        "iommufd probe",
        "iommufd plan",
        "iommufd check",
        "iommufd decode",
        "iommufd demo",
      ],
    );
  });

  it.each(shown)("$command", ({ command, output }) => {
    expect(run(command)).toBe(output);
  });

  it("links to files that exist", () => {
    for (const [, path = ""] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      expect(readFileSync(`${PROJECT}/${path}`, "utf8"), path).not.toBe("");
    }
  });

  it("names npm scripts that exist", () => {
    for (const [, name = ""] of readme.matchAll(/npm run ([\w:]+)/g))
      expect(Object.keys(scripts)).toContain(name);
  });
});
