/**
 * The IOMMUs of the machines that the suite runs on, and of their models: what they answer, and what they have not. Every machine of
 * test/kernel/machines.js that is not named here has a VT-d.
 */

import { existsSync } from "node:fs";
import type { IovaRange } from "../../lib/index.ts";
import { backendName, profile } from "./backend.ts";

/** An IOMMU, as QEMU emulates it and Linux drives it. */
interface Iommu {
  /** The answer of IOMMU_GET_HW_INFO; the data as hexadecimal digits. */
  readonly hwInfo: { readonly type: number; readonly data: string };
  /** The ranges that a device leaves in an address space: the first gap is for interrupts. */
  readonly ranges: readonly IovaRange[];
  /** Tests are skipped where it has not what they are of, by which that is: a reason for each. */
  readonly lacks: {
    /** ERRATA_772415_SPR17: a nest parent takes no read-only mappings. */
    readonly erratum?: string;
    /** Nested page tables that are made of VT-d's own data, without a vIOMMU. */
    readonly vtdNesting?: string;
    /** Refusing page tables with a fault queue to a device without page requests. */
    readonly faultQueueCheck?: string;
    /** PASIDs. */
    readonly pasid?: string;
  };
}

const VTD: Iommu = {
  hwInfo: { type: 1, data: "0100000000000000860226228c00d2004a0ff08400480000" },
  ranges: [
    { start: 0n, last: 0xfedf_ffffn },
    { start: 0xfef0_0000n, last: 0x7f_ffff_ffffn },
  ],
  lacks: {},
};

const SMMUV3: Iommu = {
  hwInfo: {
    type: 2,
    data: "00000000000000001b10440d10007302000000001414000000000000740000000000000001000000",
  },
  ranges: [
    { start: 0n, last: 0x7ff_ffffn },
    { start: 0x810_0000n, last: 0xffff_ffff_ffffn },
  ],
  lacks: {
    erratum: "a nest parent of an SMMU takes read-only mappings: test/kernel/smmuv3.test.ts",
    vtdNesting: "nested page tables of an SMMU are made on a vIOMMU: test/kernel/smmuv3.test.ts",
    faultQueueCheck: "the driver of the SMMU gives a fault queue to devices without page requests, too",
  },
};

const AMD: Iommu = {
  hwInfo: { type: 4, data: "d3290000000000000000000000000000" },
  ranges: [
    { start: 0n, last: 0xfedf_ffffn },
    // HyperTransport has the end of the first terabyte.
    { start: 0xfef0_0000n, last: 0xfc_ffff_ffffn },
    { start: 1n << 40n, last: 0xffff_ffff_ffffn },
  ],
  lacks: {
    erratum: "QEMU's IOMMU of AMD makes no nest parents",
    vtdNesting: "QEMU's IOMMU of AMD makes no nest parents",
    faultQueueCheck: "the driver of AMD's IOMMU gives a fault queue to devices without page requests, too",
    pasid: "QEMU's IOMMU of AMD has no PASIDs",
  },
};

const onKernel = backendName === "kernel";
const machine = onKernel ? process.env["IOMMUFD_TEST_MACHINE"] : profile.replace("qemu-", "");

/** That of this machine. */
export const iommu: Iommu = machine === "smmuv3" ? SMMUV3 : machine === "amd" ? AMD : VTD;

/** The first address that is reserved, and the last that it translates. */
export const RESERVED: bigint = (iommu.ranges[0]?.last ?? 0n) + 1n;
export const LAST: bigint = iommu.ranges.at(-1)?.last ?? 0n;

/** Why there are no mock devices, where there are none: they have a bus of their own (drivers/iommu/iommufd/selftest.c). */
function whyNoMocks(): string | undefined {
  if (!onKernel && iommu !== VTD)
    return "mock devices are the same whatever the IOMMU: they are modelled beside VT-d";
  if (!onKernel || existsSync("/sys/bus/iommufd_mock")) return undefined;
  return "this kernel has no mock devices (CONFIG_IOMMUFD_TEST)";
}

/** Why tests are skipped, by what they are of; each is undefined where they run. */
export const lacks = { ...iommu.lacks, mocks: whyNoMocks() };

if (onKernel)
  for (const reason of new Set(Object.values(lacks)))
    if (reason !== undefined) console.log(`skipped: ${reason}`);
