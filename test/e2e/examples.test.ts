/** Examples that need no device, run. */

import { existsSync } from "node:fs";
import { afterEach, expect, it, vi } from "vitest";

afterEach(() => vi.restoreAllMocks());

// Where there is a kernel, it would take the first device of whoever runs the tests; the kernel lane does that.
it.runIf(!existsSync("/dev/iommu"))("examples/walk.ts does the walk", async () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  await import("../../examples/walk.ts");
  expect(log.mock.calls).toEqual([["software: 2 sections mapped, 7 skipped"]]);
});
