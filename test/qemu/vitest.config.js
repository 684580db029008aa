import common from "../../vitest.config.js";

// `npm run test:qemu`: what a running QEMU answers. Processors are emulated, hence the patience.
export default {
  root: new URL("../..", import.meta.url).pathname,
  test: {
    ...common.test,
    include: ["test/qemu/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
};
