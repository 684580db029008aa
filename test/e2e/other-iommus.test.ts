/** The command on the models of an SMMUv3 and of AMD's IOMMU; test/kernel has the same on the kernel. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe } from "vitest";
import { describeAmd, describeSmmuv3 } from "./other-iommus.ts";

const directory = mkdtempSync(join(tmpdir(), "iommufd-other-iommus-"));
afterAll(() => rmSync(directory, { recursive: true }));

describe("a modelled SMMUv3", () =>
  describeSmmuv3(() => join(directory, "virt.json"), "--profile", "qemu-smmuv3"));

describe("a modelled IOMMU of AMD", () => describeAmd("--profile", "qemu-amd"));
