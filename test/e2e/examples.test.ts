/** Examples that need no device, run. */

import { existsSync, readFileSync } from "node:fs";
import { afterEach, expect, it, vi } from "vitest";

afterEach(() => vi.restoreAllMocks());

// Where there is a kernel, it would take the first device of whoever runs the tests; the kernel lane does that.
it.runIf(!existsSync("/dev/iommu"))("examples/walk.ts does the walk", async () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  await import("../../examples/walk.ts");
  expect(log.mock.calls).toEqual([["software: 2 sections mapped, 7 skipped"]]);
});

it("is what the README shows", () => {
  const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
  const code = read("examples/walk.ts").replace(/^.*\n\n/, "");
  expect(read("README.md")).toContain(`\`\`\`ts\n${code}\`\`\`\n`);
});
