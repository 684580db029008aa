/** The ioctl of CONTRIBUTING.md's worked example is added to a copy of the project, which is then built and tested. */

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PROJECT } from "../e2e/command.ts";

const copy = mkdtempSync(join(tmpdir(), "iommufd-contributing-"));
const text = readFileSync(`${PROJECT}CONTRIBUTING.md`, "utf8");
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(
    ([, block = ""]) => block,
  );
const [definition = ""] = blocks("c");

function run(command: string, args: readonly string[], input = "", env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: copy,
    env: { ...process.env, NO_COLOR: "1", ...env },
    encoding: "utf8",
    input,
  });
  return { status, output: stdout + stderr };
}

const succeeds = (command: string, ...args: string[]) => {
  const { status, output } = run(command, args);
  expect(status, output).toBe(0);
};

beforeAll(() => {
  const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: PROJECT,
    encoding: "utf8",
  });
  for (const file of files.split("\0").filter(Boolean)) {
    mkdirSync(join(copy, dirname(file)), { recursive: true });
    cpSync(`${PROJECT}${file}`, join(copy, file));
  }
  symlinkSync(`${PROJECT}node_modules`, join(copy, "node_modules"));
});

afterAll(() => rmSync(copy, { recursive: true, force: true }));

describe("adding an ioctl as CONTRIBUTING.md tells", () => {
  it("the header is C that the kernel could have", () => {
    const source = `#include <linux/ioctl.h>\n#include <linux/types.h>\n#define IOMMUFD_TYPE ';'\n${definition}`;
    const { status, output } = run("cc", ["-fsyntax-only", "-x", "c", "-"], source);
    expect(status, output).toBe(0);
  });

  it("the blocks are a patch", () => {
    expect(blocks("diff").length).toBeGreaterThan(5);
    const { status, output } = run("patch", ["-p1", "--fuzz=0"], blocks("diff").join(""));
    expect(status, output).toBe(0);
  });

  it("the addon compiles without a warning", () => {
    const { status, output } = run("npx", ["node-gyp", "--jobs=max", "rebuild"], "", { CXXFLAGS: "-Werror" });
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
    const { status, output } = run(
      "npx",
      [
        "vitest",
        "run",
        "test/unit/addon.test.ts",
        "test/unit/coverage.test.ts",
        "test/unit/uapi.test.ts",
        "test/conformance",
      ],
      "",
      fetched === undefined ? {} : { IOMMUFD_UAPI_INCLUDE: include },
    );
    expect(status, output).toBe(0);
    expect(output).toContain("test/conformance/ioas-more.test.ts");
  });
});
