/** Which Linux is modelled, and what it does not have yet. */

import { type IommufdCall, NEWEST_RELEASE, type Version } from "../ioctl.ts";

/**
 * The first release with a feature that has no ioctl of its own. Earlier ones refuse its flag as unknown, or as said
 * below.
 */
const FLAGS_SINCE = {
  /** IOMMU_HWPT_FAULT_ID_VALID of a page table that is not nested. */
  pagingFaultQueue: [6, 13],
  /** IOMMU_HWPT_ALLOC_PASID, VFIO_DEVICE_ATTACH_PASID and VFIO_DEVICE_DETACH_PASID. */
  pasid: [6, 15],
  /** Data for page tables that are not nested, which only the driver of the mock devices takes. */
  pagingData: [7, 0],
  /** IOMMU_HW_INFO_FLAG_INPUT_TYPE: the type of hardware information can be asked for. */
  hwInfoType: [6, 17],
  /** Mapping what a vIOMMU offers: before, an iommufd cannot be mapped at all. */
  mmap: [6, 17],
} as const satisfies Record<string, Version>;

/** How a release begins: "6.12.48-amd64" is 6.12. */
export const RELEASE_PATTERN = /^(\d+)\.(\d+)/;

/** A release of Linux. */
export class KernelRelease {
  /** As it was given: "6.12.48-amd64". */
  readonly name: string;
  readonly #version: Version;

  /** @param name undefined: the newest that is modelled */
  constructor(name: string = NEWEST_RELEASE) {
    const [, major, minor] = RELEASE_PATTERN.exec(name) ?? [];
    this.name = name;
    this.#version = [Number(major), Number(minor)];
  }

  /** Whether it takes a flag. */
  takes(flag: keyof typeof FLAGS_SINCE): boolean {
    return this.#isFrom(FLAGS_SINCE[flag]);
  }

  /** Whether it has an ioctl. Others answer ENOTTY. */
  supports({ since }: IommufdCall): boolean {
    return since === undefined || this.#isFrom(since);
  }

  #isFrom([major, minor]: Version): boolean {
    const [ours, ourMinor] = this.#version;
    return ours > major || (ours === major && ourMinor >= minor);
  }
}
