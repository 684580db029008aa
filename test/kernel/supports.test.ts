/** Asks the running kernel for the features that docs/coverage.md says an older kernel lacks. */

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { IOMMUFD_IOCTLS } from "../../lib/backend/ioctl.ts";
import { Iommufd } from "../../lib/index.ts";
import { laterThan } from "../conformance/backend.ts";
import { PROJECT } from "../e2e/command.ts";

const table = new Map(
  [
    ...readFileSync(`${PROJECT}docs/coverage.md`, "utf8").matchAll(
      /^\| (IOMMU_\w+) \|[^|]*\| (\d+)\.(\d+) \|/gm,
    ),
  ].map(([, ioctl, major, minor]) => [ioctl, laterThan(Number(major), Number(minor) - 1)]),
);

it("supports() tells what the table says", () => {
  using iommufd = Iommufd.open({ backend: "kernel" });
  const ioctls = Object.values(IOMMUFD_IOCTLS);
  expect(ioctls.length).toBeGreaterThan(10);
  for (const { name } of ioctls) expect(iommufd.supports(name), name).toBe(table.get(name));
});
