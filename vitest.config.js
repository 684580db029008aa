import { fileURLToPath } from "node:url";

// `npm test`: everything that runs on any machine. The kernel lane has its own, test/kernel/vitest.config.js.
export default {
  test: {
    include: ["test/{unit,conformance,e2e}/**/*.test.ts"],
    // Examples import the package by its name, as its users do.
    alias: { iommufd: fileURLToPath(new URL("lib/index.ts", import.meta.url)) },
  },
};
