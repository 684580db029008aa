import common from "../../vitest.config.js";

// `npm run test:fleet`: what examples/fleet is for: promtool, a Prometheus that scrapes, systemd.
export default {
  root: new URL("../..", import.meta.url).pathname,
  test: {
    ...common.test,
    include: ["test/fleet/**/*.test.ts"],
    testTimeout: 60_000,
  },
};
