/** docs/coverage.md says what there is: held against the code, and against the kernel's header where one is. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { IOMMUFD_IOCTLS, type IommufdCall, VFIO_IOCTLS } from "../../lib/backend/ioctl.ts";
import { Device, Hwpt, Interrupts, Ioas, Iommufd, Viommu } from "../../lib/index.ts";
import { PROJECT } from "../e2e/command.ts";

const HEADER = join(process.env["IOMMUFD_UAPI_INCLUDE"] ?? "/usr/include", "linux/iommufd.h");
const IOCTLS = { ...IOMMUFD_IOCTLS, ...VFIO_IOCTLS };
const classes: Record<string, { prototype: object }> = { Device, Hwpt, Interrupts, Ioas, Iommufd, Viommu };

const rows = readFileSync(`${PROJECT}docs/coverage.md`, "utf8")
  .split("\n")
  .filter((line) => /^\| (IOMMU|VFIO)_/.test(line))
  .map((line) => {
    const [ioctl = "", method = "", since = "", errors = "", test = ""] = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    return { ioctl, method, since, errors: errors.split(" ").filter(Boolean), test };
  });

describe("docs/coverage.md", () => {
  it("has every ioctl that the library issues, and no other", () => {
    const issued = new Set(Object.values(IOCTLS).map(({ name }) => name as string));
    const documented = rows.map(({ ioctl }) => ioctl);
    expect(documented.sort()).toEqual([...issued].sort());
  });

  it.skipIf(!existsSync(HEADER))("has every ioctl of the kernel's header", () => {
    const header = readFileSync(HEADER, "utf8");
    const defined = [...header.matchAll(/^#define (IOMMU_\w+)\s+(?:\\\n\s*)?_IO\(IOMMUFD_TYPE/gm)].map(
      ([, name]) => name,
    );
    expect(defined.length).toBeGreaterThan(15);
    const documented = rows.map(({ ioctl }) => ioctl).filter((ioctl) => ioctl.startsWith("IOMMU_"));
    expect(documented.sort()).toEqual(defined.sort());
  });

  it("has the releases of the table of ioctls; the devices of VFIO came with 6.6", () => {
    const later = rows.filter(({ since }) => !/^6\.[0-6]$/.test(since));
    const young = Object.values<IommufdCall>(IOMMUFD_IOCTLS).filter(({ since }) => since !== undefined);
    expect(later.map(({ ioctl, since }) => `${ioctl} ${since}`).sort()).toEqual(
      young.map(({ name, since }) => `${name} ${since?.join(".")}`).sort(),
    );
  });

  it.each(rows)("$ioctl: $method, shown by $test", ({ ioctl, method, errors, test }) => {
    for (const [, type = "", name = ""] of method.matchAll(/`(\w+)\.(\w+)`/g)) {
      expect(Object.getOwnPropertyNames(classes[type]?.prototype ?? {}), `${type}.${name}`).toContain(name);
    }
    const text = test
      .split(", ")
      .map((path) => readFileSync(`${PROJECT}${path}`, "utf8"))
      .join("\n");
    const names = [...method.matchAll(/(\w+)(?=`|\()/g)].map(([, name]) => name as string);
    const called = [...names, ...methodsOf(ioctl)];
    expect(
      called.some((name) => text.includes(name)),
      `${test} uses one of ${called}`,
    ).toBe(true);
    for (const error of errors) expect(text, `${test} shows ${error}`).toContain(`"${error}"`);
  });
});

/** The methods of a backend that issue an ioctl. */
function methodsOf(ioctl: string): string[] {
  return Object.entries(IOCTLS)
    .filter(([, { name }]) => name === ioctl)
    .map(([method]) => method);
}
