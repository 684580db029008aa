// `npm test`: everything that runs on any machine. The kernel lane has its own, test/kernel/vitest.config.js.
// IOMMUFD_TEST_GC=1 forces garbage collections around every ioctl.

import process from "node:process";
import { fileURLToPath } from "node:url";

const collecting = process.env.IOMMUFD_TEST_GC
  ? { execArgv: ["--expose-gc"], setupFiles: ["test/collect.ts"] }
  : {};

/** The settings of all lanes. */
export const common = {
  test: {
    ...collecting,
    // Some start the command a dozen times; a busy machine takes its time for that.
    testTimeout: 30_000,
    // Examples import the package by its name, as its users do.
    alias: { iommufd: fileURLToPath(new URL("lib/index.ts", import.meta.url)) },
  },
};

/** The profiles that the conformance suite runs on, one after the other; without a name that of VT-d. */
const OTHER_IOMMUS = ["qemu-smmuv3", "qemu-amd"];

export default {
  test: {
    // Coverage of the library; scripts/coverage.sh counts the code in the command's own processes apart.
    coverage: {
      provider: "v8",
      include: ["lib/**/*.ts"],
      exclude: ["lib/cli/**", "lib/report/**", "lib/backend/kernel/**"],
      reporter: ["text", "text-summary"],
    },
    projects: [
      { test: { ...common.test, name: "usual", include: ["test/{unit,conformance,e2e}/**/*.test.ts"] } },
      ...OTHER_IOMMUS.map((profile) => ({
        test: {
          ...common.test,
          name: profile,
          include: ["test/conformance/**/*.test.ts"],
          env: { IOMMUFD_TEST_PROFILE: profile },
        },
      })),
    ],
  },
};
