/** A plan that is tried and stopped: what stops it is told, and nothing stays. */

import { expect, it } from "vitest";
import { preflight } from "../../lib/container/preflight.ts";
import { Iommufd, type MemorySection } from "../../lib/index.ts";

const GUEST: MemorySection = {
  start: 0n,
  size: 1n << 30n,
  region: "ram",
  offsetInRegion: 0n,
  type: "ram",
  readonly: false,
};

it("throws what the signal was aborted with, and can be tried again", async () => {
  using iommufd = Iommufd.open({ profile: "sapphire-rapids" });
  using device = iommufd.openDevice("6a:01.0");
  const controller = new AbortController();
  const reason = new Error("enough");
  const stopped = preflight(iommufd, [device], [GUEST], {
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  });
  await expect(stopped).rejects.toBe(reason);
  const { obstacles } = await preflight(iommufd, [device], [GUEST]);
  expect(obstacles).toEqual([]);
});
