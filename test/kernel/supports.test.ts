/** Asks the running kernel for the ioctls that an older one lacks, by the table of ioctls. */

import { expect, it } from "vitest";
import { IOMMUFD_IOCTLS, type IommufdCall, type IommufdIoctl } from "../../lib/backend/ioctl.ts";
import { Iommufd } from "../../lib/index.ts";
import { laterThan } from "../conformance/backend.ts";

it("supports() says what the table says", () => {
  using iommufd = Iommufd.open({ backend: "kernel" });
  const ioctls = Object.values<IommufdCall>(IOMMUFD_IOCTLS);
  for (const { name, since: [major, minor] = [6, 6] } of ioctls)
    expect(iommufd.supports(name as IommufdIoctl), name).toBe(laterThan(major, minor - 1));
});
