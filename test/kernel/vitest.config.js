// The kernel lane, inside the test machine: its own tests, and the conformance suite on the kernel backend.
// The machine's root is read-only and its processors are emulated, hence the directories and the patience.

import { common } from "../../vitest.config.js";

const project = new URL("../..", import.meta.url).pathname;

export default {
  root: project,
  cacheDir: "/run/vite",
  test: {
    ...common.test,
    // The library is the built one, which Node.js loads by itself: an emulated processor takes ten seconds to transform its sources.
    alias: [
      { find: /^iommufd$/, replacement: `${project}dist/index.js` },
      { find: /^(?:\.\.\/)+lib\/(.*)\.ts$/, replacement: `${project}dist/$1.js` },
    ],
    server: { deps: { external: [/\/dist\/.*\.js$/] } },
    include: ["test/{kernel,conformance}/**/*.test.ts"],
    env: { IOMMUFD_TEST_BACKEND: "kernel" },
    // One after the other: /dev/vfio devices can be bound once. All in one process, because an emulated processor takes five
    // seconds to start one with the library in it.
    fileParallelism: false,
    pool: "forks",
    isolate: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
};
