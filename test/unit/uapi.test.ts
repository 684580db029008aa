/**
 * Compares the project's structures and requests with the kernel's own headers, by letting a compiler assert it.
 *
 * Debian 12 has no <linux/iommufd.h>. IOMMUFD_UAPI_INCLUDE names a directory that has linux/iommufd.h and
 * linux/vfio.h, as Debian's linux-libc-dev of a later suite does; .ci/run fetches one.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const native = fileURLToPath(new URL("../../native", import.meta.url));
const include = process.env["IOMMUFD_UAPI_INCLUDE"] ?? "/usr/include";
const compiler = process.env["CXX"] ?? "c++";
const reason = !existsSync(join(include, "linux/iommufd.h"))
  ? `no linux/iommufd.h in ${include} (IOMMUFD_UAPI_INCLUDE)`
  : spawnSync(compiler, ["--version"]).error
    ? `no compiler ${compiler}`
    : undefined;

interface Structure {
  name: string;
  fields: string[];
}

/** The structures and requests that a header of ours defines. */
function parseHeader(file: string): { structures: Structure[]; constants: string[] } {
  const text = readFileSync(join(native, "uapi", file), "utf8");
  return {
    structures: [...text.matchAll(/^struct (\w+) \{\n([^}]*)\};/gm)].map(([, name = "", body = ""]) => ({
      name,
      fields: [...body.matchAll(/^ {2}\w+ (\w+)(?:\[\d+\])?;/gm)].map(([, field = ""]) => field),
    })),
    constants: [...text.matchAll(/^constexpr \S+(?: \S+)? ([A-Z][A-Z0-9_]+) =/gm)].map(
      ([, name = ""]) => name,
    ),
  };
}

/** The kernel's name of a field: iommufd's reserved ones start with underscores, which C++ keeps for itself; one of VFIO's does. */
function kernelField(structure: string, name: string): string {
  const underscored =
    structure.startsWith("iommu") || structure === "vfio_device_feature_dma_logging_control";
  return underscored && name.startsWith("reserved") ? `__${name}` : name;
}

/** The size that a kernel of that time knows is a prefix: later ones append. */
const APPENDED_TO = new Set([
  "vfio_device_bind_iommufd",
  "vfio_device_attach_iommufd_pt",
  "vfio_device_detach_iommufd_pt",
]);

describe.skipIf(reason !== undefined)(
  `the kernel's headers${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    let directory: string;

    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), "iommufd-uapi-"));
    });

    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    it.each(["iommufd.h", "vfio.h"])("agree with native/uapi/%s", (file) => {
      const { structures, constants } = parseHeader(file);
      expect(structures.length).toBeGreaterThan(3);
      expect(constants.length).toBeGreaterThan(3);
      const assertions = structures.flatMap(({ name, fields }) => [
        APPENDED_TO.has(name)
          ? `static_assert(sizeof(uapi::${name}) <= sizeof(::${name}));`
          : `static_assert(sizeof(uapi::${name}) == sizeof(::${name}));`,
        ...fields.flatMap((field) => [
          `static_assert(offsetof(uapi::${name}, ${field}) == offsetof(::${name}, ${kernelField(name, field)}));`,
          `static_assert(sizeof(uapi::${name}::${field}) == sizeof(::${name}::${kernelField(name, field)}));`,
        ]),
      ]);
      // The kernel's requests are macros, which would rewrite ours: keep ours under another name first.
      const source = [
        `#include ${JSON.stringify(join(native, "uapi", file))}`,
        ...constants.map((name) => `constexpr auto OURS_${name} = uapi::${name};`),
        `#include <linux/${file}>`,
        ...constants.map(
          (name) =>
            `static_assert(static_cast<unsigned long>(OURS_${name}) == static_cast<unsigned long>(${name}));`,
        ),
        ...assertions,
      ].join("\n");
      const path = join(directory, `${file}.cc`);
      writeFileSync(path, `${source}\n`);
      execFileSync(compiler, ["-std=c++17", "-fsyntax-only", "-isystem", include, path], { stdio: "pipe" });
    });
  },
);
