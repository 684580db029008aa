import common from "../../vitest.config.js";

// `npm run test:browser`: the pages of `--html` in Chromium.
export default {
  root: new URL("../..", import.meta.url).pathname,
  test: {
    ...common.test,
    include: ["test/browser/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
};
