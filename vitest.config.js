// `npm test`: everything that runs on any machine. The kernel lane has its own, test/kernel/vitest.config.js.
// `npm run test:gc` runs the same with garbage collections forced around every ioctl.

import process from "node:process";
import { fileURLToPath } from "node:url";

const collecting = process.env.IOMMUFD_TEST_GC
  ? { execArgv: ["--expose-gc"], setupFiles: ["test/collect.ts"] }
  : {};

export default {
  test: {
    ...collecting,
    // Coverage of the library; scripts/coverage.sh counts the code in the command's own processes apart.
    coverage: {
      provider: "v8",
      include: ["lib/**/*.ts"],
      exclude: ["lib/cli/**", "lib/report/**", "lib/backend/kernel/**"],
      reporter: ["text", "text-summary"],
    },
    include: ["test/{unit,conformance,e2e}/**/*.test.ts"],
    // Some start the command a dozen times; a busy machine takes its time for that.
    testTimeout: 30_000,
    // Examples import the package by its name, as its users do.
    alias: { iommufd: fileURLToPath(new URL("lib/index.ts", import.meta.url)) },
  },
};
