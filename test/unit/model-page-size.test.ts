/** The model of a machine with other pages. Linux 7.2.13 with pages of 64 KiB was seen to place memory so. */

import { expect, it } from "vitest";
import { Iommufd, parseProfile } from "../../lib/index.ts";
import { profileJson } from "../fixtures/profiles.ts";

it.each([
  [4096, 2n << 20n],
  [16384, 32n << 20n],
  [65536, 512n << 20n],
])(
  "pages of %i bytes: memory that the kernel places is aligned to a huge page at most",
  (pageSize, hugePage) => {
    using iommufd = Iommufd.open({ profile: parseProfile({ ...profileJson("qemu-smmuv3"), pageSize }) });
    const ioas = iommufd.allocIoas();
    const memory = iommufd.allocMemory(2n * hugePage);
    const places = [hugePage / 2n, hugePage, 2n * hugePage].map((length) => ioas.mapSync(memory, { length }));
    // Address 0 is never given out.
    expect(places).toEqual([hugePage / 2n, hugePage, 2n * hugePage]);
  },
);
