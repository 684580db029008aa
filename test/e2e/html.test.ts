/** `--html`: the file is written whole or not at all. The tests in test/browser look at the content. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { iommufd } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

const GUEST = "examples/guest-with-nesting.mtree";
const { directory, file } = temporaryFiles();

describe.each(["plan", "check"])("iommufd %s --html", (command) => {
  const plain = [command, GUEST, "--profile", "sapphire-rapids", "--json", "--quiet"];
  const run = (path: string) => iommufd([...plain, "--html", path]);

  it("writes a page beside the result, in place of what was there", () => {
    const path = file("page.html", "old");
    const outcome = run(path);
    expect(outcome).toEqual({ status: 0, stdout: iommufd(plain).stdout, stderr: "" });
    expect(readFileSync(path, "utf8")).toMatch(/^<!doctype html>\n[\s\S]*<\/html>\n$/);
    expect(readdirSync(directory)).toEqual(["page.html"]);
  });

  it("that cannot be written is an error, after the result", () => {
    const path = join(directory, "none/page.html");
    expect(run(path)).toEqual({
      status: 1,
      stdout: iommufd(plain).stdout,
      stderr: `iommufd: cannot write ${path}: ENOENT: no such file or directory\n`,
    });
    expect(run(directory)).toMatchObject({ status: 1, stderr: expect.stringContaining("cannot write") });
    expect(readdirSync(directory)).toEqual(["page.html"]);
  });
});
