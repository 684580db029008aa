/** The tree is one to find one's way in: every folder says what it is for, and no file is too long to read. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SYSCALLS } from "../../lib/backend/ioctl.ts";
import { PROJECT } from "../e2e/command.ts";
import { foldersOf } from "../tree.ts";

/** How long a file may be, in lines. */
const LONGEST = 400;

// Captures are as long as they are.
const folders = foldersOf().filter(({ path }) => !/^test\/fixtures\/qemu-/.test(path));

describe("the tree", () => {
  it.each(folders)("$path says what it is for", ({ path, files }) => {
    // One table says what each folder of tests shows, and how to run it. A README there has what the table has no room
    // for.
    if (path.startsWith("test/") && !files.includes("README.md")) {
      expect(readFileSync(join(PROJECT, "docs/testing.md"), "utf8")).toMatch(
        new RegExp(`^\\| ${path} `, "m"),
      );
      return;
    }
    expect(files).toContain("README.md");
    if (path === "") return;
    const [title, , purpose = ""] = readFileSync(join(PROJECT, path, "README.md"), "utf8").split("\n");
    if (path.startsWith("lib") || path.startsWith("test") || path === "native")
      expect(title).toBe(`# ${path}`);
    expect(purpose.length).toBeGreaterThan(20);
  });

  it.each(folders)(`$path has no file of more than ${LONGEST} lines`, ({ path, files }) => {
    const long = files.filter(
      (name) =>
        // A picture has no lines.
        !name.endsWith(".png") &&
        readFileSync(join(PROJECT, path, name), "utf8").split("\n").length - 1 > LONGEST,
    );
    expect(long).toEqual([]);
  });

  it.each(folders)(
    "$path: its sources say what they are for, at their head or of what they export",
    ({ path, files }) => {
      const silent = files
        .filter((name) => /\.(ts|js|cc|h|sh|mjs)$/.test(name))
        .filter((name) => {
          const text = readFileSync(join(PROJECT, path, name), "utf8").replace(/^#!.*\n/, "");
          return !/^(\/\*|\/\/|#)/.test(text) && !/^\/\*\*[\s\S]*?\*\/\nexport /m.test(text);
        });
      expect(silent).toEqual([]);
    },
  );
});

/** The files of the library in which there is something. */
const libraryFiles = (pattern: RegExp) =>
  foldersOf()
    .filter(({ path }) => path.startsWith("lib"))
    .flatMap(({ path, files }) => files.map((name) => join(path, name)))
    .filter((name) => name.endsWith(".ts") && pattern.test(readFileSync(join(PROJECT, name), "utf8")));

it("one file of the library writes files, and knows of what others may have put there", () => {
  const writing =
    /\b(?:writeFile|appendFile|copyFile|createWriteStream|(?:rename|link|symlink|mkdir|mkdtemp|truncate)(?:Sync)?\()/;
  expect(libraryFiles(writing)).toEqual(["lib/cli/output-file.ts"]);
});

it("what comes from outside is read where it is limited", () => {
  // The last two read what the package itself brings.
  expect(libraryFiles(/\b(?:readFile(?:Sync)?|createReadStream)\(/).sort()).toEqual([
    "lib/cli/input.ts",
    "lib/origin.ts",
    "lib/report/page/page.ts",
  ]);
});

it("an ioctl is named in its row alone", () => {
  const names = [...SYSCALLS].filter((name) => /^(?:IOMMU|VFIO)_/.test(name));
  const literal = new RegExp(`^(?! *(?:/\\*|\\*|//)).*"(?:${names.join("|")})"`, "m");
  // The messages of the other two have an example.
  expect(libraryFiles(literal).sort()).toEqual([
    "lib/backend/failures.ts",
    "lib/backend/ioctl.ts",
    "lib/backend/wrapper.ts",
  ]);
});
