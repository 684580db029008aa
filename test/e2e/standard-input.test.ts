/** Memory maps that come by standard input, named or not. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { iommufd, MAIN, PROJECT } from "./command.ts";

const GUEST = readFileSync(`${PROJECT}examples/guest-with-nesting.mtree`, "utf8");
const PLAN = ["--bypass-ro", "on"];

describe("iommufd plan without a file", () => {
  it("reads what is piped to it, as with -", () => {
    const named = iommufd(["plan", "-", ...PLAN], GUEST);
    expect(named).toMatchObject({ status: 0, stderr: "" });
    expect(iommufd(["plan", ...PLAN], GUEST)).toEqual(named);
    const { stdout } = spawnSync(
      "sh",
      ["-c", `'${process.execPath}' '${MAIN}' plan --no-nesting < examples/guest-with-nesting.mtree`],
      {
        cwd: PROJECT,
        encoding: "utf8",
      },
    );
    expect(stdout).toContain("map read-only");
  });

  it.each([
    ["an empty pipe", "pipe"],
    ["/dev/null", "ignore"],
  ] as const)("says where a map can be, of %s", (_, stdin) => {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, "plan"], {
      stdio: [stdin, "pipe", "pipe"],
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(
        /^iommufd: say where the memory map is, once: a file \(- is standard input\), .*\n$/,
      ),
    });
  });

  it("a map by name and one by pipe: the name counts", () => {
    expect(iommufd(["plan", "examples/guest-with-nesting.mtree", ...PLAN], "nonsense").status).toBe(0);
  });

  it.each([["plan"], ["plan", "-"], ["check", "--profile", "none"]])(
    "%s %s: does not wait in silence for a pipe that never ends",
    async (...args) => {
      const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["pipe", "ignore", "pipe"] });
      child.stderr.setEncoding("utf8");
      const [note] = await once(child.stderr, "data");
      expect(note).toMatch(/^iommufd: waiting for a memory map on standard input; .*\n$/);
      child.stdin.end();
      const [status] = await once(child, "exit");
      expect(status).toBe(2);
    },
  );
});
