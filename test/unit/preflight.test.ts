/** A plan that is tried and stopped: what stops it is told, and nothing stays. */

import { expect, it } from "vitest";
import { preflight } from "../../lib/container/preflight.ts";
import { Iommufd, type MemorySection, softwareMachine } from "../../lib/index.ts";

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

it.each([
  ["sapphire-rapids", true, "read-only-on-nest-parent"],
  ["sapphire-rapids", false, "other"],
  ["vtd-no-erratum", true, "other"],
])("on %s, nesting %s: EINVAL of a read-only mapping is put down to %s", async (profile, nesting, reason) => {
  const host = softwareMachine(profile);
  using iommufd = Iommufd.open(host);
  using device = iommufd.openDevice(iommufd.devices()[0] as string);
  host.failEvery("IOMMU_IOAS_COPY", 1, "EINVAL");
  const rom = { ...GUEST, size: 4096n, readonly: true };
  const { obstacles } = await preflight(iommufd, [device], [rom], { nesting, bypassRo: "off" });
  expect(obstacles).toMatchObject([{ code: "EINVAL", reason }]);
});
