// `npm run test:lane -- NAME` for what needs more than this process: a browser, Prometheus, QEMU, an empty project. Each folder
// named here is a lane. The kernel lane has a configuration of its own, because it runs in another machine. Some lanes are slow to
// start, hence the patience.

import { common } from "../vitest.config.js";

const LANES = ["browser", "contributing", "fleet", "package", "qemu"];

export default {
  root: new URL("..", import.meta.url).pathname,
  test: {
    fileParallelism: false,
    projects: LANES.map((name) => ({
      test: {
        ...common.test,
        name,
        include: [`test/${name}/**/*.test.ts`],
        testTimeout: 180_000,
        hookTimeout: 600_000,
      },
    })),
  },
};
