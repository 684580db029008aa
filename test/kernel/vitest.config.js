// The kernel lane, inside the test machine: its own tests, and the conformance suite on the kernel backend.
// The machine's root is read-only and its processors are emulated, hence the directories and the patience.

import { common } from "../../vitest.config.js";

export default {
  root: new URL("../..", import.meta.url).pathname,
  cacheDir: "/run/vite",
  test: {
    ...common.test,
    include: ["test/{kernel,conformance}/**/*.test.ts"],
    env: { IOMMUFD_TEST_BACKEND: "kernel" },
    experimental: { fsModuleCache: true, fsModuleCachePath: "/run/modules" },
    // One after the other: /dev/vfio devices can be bound once. All in one process, because an emulated processor takes five
    // seconds to start one with the library in it.
    fileParallelism: false,
    pool: "forks",
    isolate: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
};
