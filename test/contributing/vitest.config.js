import common from "../../vitest.config.js";

// `npm run test:contributing`: what CONTRIBUTING.md tells newcomers to do, done.
export default {
  root: new URL("../..", import.meta.url).pathname,
  test: {
    ...common.test,
    include: ["test/contributing/**/*.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
};
