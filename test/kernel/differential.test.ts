/**
 * The model held against this kernel, on this machine, for a while: test/kernel/compare. `npm run fuzz:kernel` does the same for long.
 * IOMMUFD_FUZZ_SECONDS says for how long (default 10).
 */

import { spawnSync } from "node:child_process";
import process from "node:process";
import { expect, it } from "vitest";
import { PROJECT } from "../e2e/command.ts";

const SECONDS = process.env["IOMMUFD_FUZZ_SECONDS"] ?? "10";

it("the model answers as the kernel does", () => {
  const env = { ...process.env, IOMMUFD_FUZZ_SECONDS: SECONDS, IOMMUFD_FUZZ_CALLS: "1000000" };
  const { status, stdout, stderr } = spawnSync(process.execPath, ["test/kernel/compare/run.js"], {
    cwd: PROJECT,
    encoding: "utf8",
    env,
  });
  console.log(stdout);
  expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: "" });
  const [, calls, succeeded] = /^(\d+) calls, (\d+) succeeded, .* 0 differences$/m.exec(stdout) ?? [];
  // Enough calls succeed, so not only refusals agree.
  expect(Number(succeeded)).toBeGreaterThan(Number(calls) / 10);
});
