/** The ioctl of CONTRIBUTING.md's worked example is added to a copy of the project, which is then built and tested. */

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PROJECT, run } from "../e2e/command.ts";

const copy = mkdtempSync(join(tmpdir(), "iommufd-contributing-"));
const text = readFileSync(`${PROJECT}CONTRIBUTING.md`, "utf8");
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(
    ([, block = ""]) => block,
  );
const [definition = ""] = blocks("c");

const inCopy = (command: string, args: readonly string[], settings: Parameters<typeof run>[3] = {}) =>
  run(copy, command, args, { ...settings, env: { NO_COLOR: "1", ...settings.env } });

const succeeds = (command: string, ...args: string[]) => {
  const { status, output } = inCopy(command, args);
  expect(status, output).toBe(0);
};

beforeAll(() => execFileSync(`${PROJECT}scripts/copy-tree.sh`, [copy]));

afterAll(() => rmSync(copy, { recursive: true, force: true }));

describe("adding an ioctl as CONTRIBUTING.md tells", () => {
  it("the header is C that the kernel could have", () => {
    const source = `#include <linux/ioctl.h>\n#include <linux/types.h>\n#define IOMMUFD_TYPE ';'\n${definition}`;
    const { status, output } = inCopy("cc", ["-fsyntax-only", "-x", "c", "-"], { input: source });
    expect(status, output).toBe(0);
  });

  it("the blocks are a patch", () => {
    expect(blocks("diff").length).toBeGreaterThan(5);
    const { status, output } = inCopy("patch", ["-p1", "--fuzz=0"], { input: blocks("diff").join("") });
    expect(status, output).toBe(0);
  });

  it("it touches no more than eight files of code, those of tests included", () => {
    const touched = [...text.matchAll(/^\+\+\+ b\/(.*)$/gm)].map(([, path]) => path);
    const code = new Set(touched.filter((path) => !path?.endsWith(".md")));
    expect(code.size, [...code].join(", ")).toBeLessThanOrEqual(8);
  });

  it("the addon compiles without a warning", () => {
    const { status, output } = inCopy("npx", ["node-gyp", "--jobs=max", "rebuild"], {
      env: { CXXFLAGS: "-Werror" },
    });
    expect(status, output).toBe(0);
  });

  it("types, layout, structure and documents are in order", () => {
    succeeds("npx", "tsc", "--project", "tsconfig.json");
    succeeds("npx", "biome", "check", "lib", "test");
    succeeds("bash", "-c", "clang-format --dry-run --Werror native/*.cc native/*.h native/uapi/*.h");
    succeeds("npx", "depcruise", "lib");
    succeeds("npx", "typedoc");
  });

  it("its tests pass, on the model and on the addon; and against a kernel's header that has it", () => {
    // Debian 12's kernel headers have no iommufd.h; .ci/run fetches those of a later suite.
    const fetched = process.env["IOMMUFD_UAPI_INCLUDE"];
    const include = join(copy, "build/include");
    if (fetched !== undefined) {
      cpSync(fetched, include, { recursive: true });
      const header = join(include, "linux/iommufd.h");
      writeFileSync(header, readFileSync(header, "utf8").replace(/\n#endif\s*$/, `\n${definition}#endif\n`));
    }
    const { status, output } = inCopy(
      "npx",
      [
        "vitest",
        "run",
        "test/unit/addon-arguments.test.ts",
        "test/unit/coverage.test.ts",
        "test/unit/uapi.test.ts",
        "test/conformance",
      ],
      { env: fetched === undefined ? {} : { IOMMUFD_UAPI_INCLUDE: include } },
    );
    expect(status, output).toBe(0);
    expect(output).toContain("test/conformance/ioas-more.test.ts");
  });
});
