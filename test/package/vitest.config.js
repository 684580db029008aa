import common from "../../vitest.config.js";

// `npm run test:package`: the package as npm packs it, installed where there is nothing else.
export default {
  root: new URL("../..", import.meta.url).pathname,
  test: {
    ...common.test,
    include: ["test/package/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 300_000,
  },
};
