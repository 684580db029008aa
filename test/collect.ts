/**
 * For `npm test` and the kernel lane with IOMMUFD_TEST_GC=1: forces a garbage collection around every ioctl and after
 * every test, so that whatever is held too weakly is gone by then.
 */

import { subscribe } from "node:diagnostics_channel";
import { afterEach } from "vitest";

const collect = globalThis.gc;
if (collect === undefined) throw new Error("this needs --expose-gc: IOMMUFD_TEST_GC=1 npm test");

// A whole collection takes milliseconds, and property tests make calls by the thousand: most are of the young generation.
let calls = 0;
const often = () => collect({ type: calls++ % 50 === 0 ? "major" : "minor", execution: "sync" });
for (const event of ["start", "end", "asyncEnd"]) subscribe(`tracing:iommufd:ioctl:${event}`, often);

afterEach(async () => {
  collect();
  await new Promise((resolve) => setImmediate(resolve)); // finalizers
});
