/**
 * The backend that the conformance suite runs on: the model of QEMU's VT-d, SMMUv3 or AMD IOMMU (IOMMUFD_TEST_PROFILE), or, in the
 * kernel lane (IOMMUFD_TEST_BACKEND=kernel), the kernel, on the very hardware that the models are of.
 *
 * The kernel is never chosen by itself: on a real host the suite would take the devices of whoever runs it.
 */

import { release } from "node:os";
import { Iommufd, selectBackend, softwareMachine } from "../../lib/index.ts";

/** Which one it is, for the titles. */
export const backendName = process.env["IOMMUFD_TEST_BACKEND"] === "kernel" ? "kernel" : "software";

/** The profile of the machine that is modelled. */
export const profile = process.env["IOMMUFD_TEST_PROFILE"] ?? "qemu-vtd";

/** The modelled machine; undefined on the kernel. */
const model = backendName === "kernel" ? undefined : softwareMachine(profile);

/** The machine itself, for actions that objects do not offer. */
export const machine = model ?? selectBackend({ backend: "kernel" });

/** Opens an iommufd on the machine. */
export function open(): Iommufd {
  return Iommufd.open(machine);
}

/** The two devices of the machine. */
export const [FIRST, SECOND] = ["0000:00:01.0", "0000:00:02.0"] as const;

/** Whether it is a Linux later than the one named; the model is of 7.2. Titles of skipped tests say what is missing. */
export function laterThan(major: number, minor: number): boolean {
  const [ours = 0, ourMinor = 0] =
    backendName === "kernel" ? release().split(".").map(Number.parseFloat) : [7, 2];
  return ours > major || (ours === major && ourMinor > minor);
}

/** The machine's own page size. */
export const PAGE = BigInt(machine.backend.pageSize);
export const U64_MAX = (1n << 64n) - 1n;
