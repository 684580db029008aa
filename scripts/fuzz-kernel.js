// `npm run fuzz:kernel -- [--calls N] [--seed S]`: random calls on the kernel in the test machine and on a model of it, and every
// answer compared (test/kernel/compare). Default: 200,000 calls, a fresh seed. IOMMUFD_TEST_MACHINE and IOMMUFD_TEST_KERNEL say on which
// machine and kernel, as with boot.js.
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { calls: { type: "string", default: "200000" }, seed: { type: "string" } },
});
const calls = Number(values.calls);
if (!Number.isSafeInteger(calls) || calls < 1) {
  console.error(`--calls must be a positive integer, received ${values.calls}`);
  process.exit(2);
}
if (values.seed !== undefined && !Number.isSafeInteger(Number(values.seed))) {
  console.error(`--seed must be an integer, received ${values.seed}`);
  process.exit(2);
}
const environment = [
  `IOMMUFD_FUZZ_CALLS=${calls}`,
  ...(values.seed === undefined ? [] : [`IOMMUFD_FUZZ_SEED=${values.seed}`]),
];
const { status } = spawnSync(
  process.execPath,
  [
    fileURLToPath(new URL("../test/kernel/boot.js", import.meta.url)),
    ...["--", "env", ...environment, "node", "test/kernel/compare/run.js"],
  ],
  { stdio: "inherit" },
);
process.exitCode = status ?? 1;
