/**
 * The backend that the conformance suite runs on: the model of QEMU's VT-d, SMMUv3 or AMD IOMMU (IOMMUFD_TEST_PROFILE), or, in the
 * kernel lane (IOMMUFD_TEST_BACKEND=kernel), the kernel, on the very hardware that the models are of.
 *
 * The kernel is never chosen by itself: on a real host the suite would take the devices of whoever runs it.
 */

import { release } from "node:os";
import { NEWEST_RELEASE } from "../../lib/backend/ioctl.ts";
import { loadProfile, type Profile } from "../../lib/backend/software/profile.ts";
import { Iommufd, selectBackend, softwareMachine } from "../../lib/index.ts";

/** Which one it is, for the titles. */
export const backendName = process.env["IOMMUFD_TEST_BACKEND"] === "kernel" ? "kernel" : "software";

/** The profile of the machine that is modelled. */
export const profile = process.env["IOMMUFD_TEST_PROFILE"] ?? "qemu-vtd";

/** The Linux that answers. The model is of the newest that it knows, or of the one that IOMMUFD_TEST_RELEASE names. */
const RELEASE =
  backendName === "kernel" ? release() : (process.env["IOMMUFD_TEST_RELEASE"] ?? NEWEST_RELEASE);

const ATS = "PCI_ATS_NOT_SUPPORTED";

/** The modelled machine; undefined on the kernel. */
export const model = backendName === "kernel" ? undefined : softwareMachine(profileOf(profile));

/** The machine itself, for actions that objects do not offer. */
export const machine = model ?? selectBackend({ backend: "kernel" });

/** A shipped profile as the release under test would be captured: 6.12 has no word for devices without ATS. */
export function profileOf(name: string): Profile {
  const machine = loadProfile(name);
  const devices = machine.devices.map((device) => ({
    ...device,
    outCapabilities: device.outCapabilities.filter((each) => each !== ATS || laterThan(6, 12)),
  }));
  return { ...machine, kernelRelease: RELEASE, devices };
}

/** Opens an iommufd on the machine. */
export function open(): Iommufd {
  return Iommufd.open(machine);
}

/** The two devices of the machine. */
export const [FIRST, SECOND] = ["0000:00:01.0", "0000:00:02.0"] as const;

/** Whether it is a Linux later than the one named. Titles of skipped tests say what is missing. */
export function laterThan(major: number, minor: number): boolean {
  const [ours = 0, ourMinor = 0] = RELEASE.split(".").map(Number.parseFloat);
  return ours > major || (ours === major && ourMinor > minor);
}

/** The machine's own page size. */
export const PAGE = BigInt(machine.backend.pageSize);
export const U64_MAX = (1n << 64n) - 1n;
