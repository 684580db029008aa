import process from "node:process";
import { fileURLToPath } from "node:url";

// `npm test`: everything that runs on any machine. The kernel lane has its own, test/kernel/vitest.config.js.
// `npm run test:gc` runs the same with garbage collections forced around every ioctl.
const collecting = process.env.IOMMUFD_TEST_GC
  ? { execArgv: ["--expose-gc"], setupFiles: ["test/collect.ts"] }
  : {};

export default {
  test: {
    ...collecting,
    include: ["test/{unit,conformance,e2e}/**/*.test.ts"],
    // Examples import the package by its name, as its users do.
    alias: { iommufd: fileURLToPath(new URL("lib/index.ts", import.meta.url)) },
  },
};
