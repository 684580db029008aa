// `npm run test:NAME` for what needs more than this process: a browser, Prometheus, QEMU, an empty project. The kernel lane has
// its own, for it runs in another machine. Some of it is slow to start, hence the patience.

import common from "../vitest.config.js";

export default {
  root: new URL("..", import.meta.url).pathname,
  test: {
    ...common.test,
    include: ["test/{browser,contributing,fleet,package,qemu}/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
};
