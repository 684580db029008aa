/** Which Linux is modelled, and what it does not know yet. */

import type { IommufdIoctl } from "../ioctl.ts";

/** A version: 6.12 is [6, 12]. */
type Version = readonly [major: number, minor: number];

/** The release that the model is of where a profile names none, and of which it knows nothing newer. */
export const NEWEST_RELEASE = "7.2";

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

/**
 * The first release with an ioctl, of those that are younger than the devices of VFIO (6.6): before it the answer is ENOTTY.
 * docs/coverage.md says the same.
 */
export const IOCTLS_SINCE = {
  IOMMU_HWPT_SET_DIRTY_TRACKING: [6, 7],
  IOMMU_HWPT_GET_DIRTY_BITMAP: [6, 7],
  IOMMU_HWPT_INVALIDATE: [6, 8],
  IOMMU_FAULT_QUEUE_ALLOC: [6, 11],
  IOMMU_IOAS_MAP_FILE: [6, 13],
  IOMMU_VIOMMU_ALLOC: [6, 13],
  IOMMU_VDEVICE_ALLOC: [6, 13],
  IOMMU_IOAS_CHANGE_PROCESS: [6, 14],
  IOMMU_VEVENTQ_ALLOC: [6, 15],
  IOMMU_HW_QUEUE_ALLOC: [6, 17],
} as const satisfies Partial<Record<IommufdIoctl, Version>>;

/** An ioctl that not every release has. */
export type YoungIoctl = keyof typeof IOCTLS_SINCE;

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

  /** Whether it knows an ioctl. */
  knows(ioctl: IommufdIoctl): boolean {
    return !isYoung(ioctl) || this.#isFrom(IOCTLS_SINCE[ioctl]);
  }

  #isFrom([major, minor]: Version): boolean {
    const [ours, ourMinor] = this.#version;
    return ours > major || (ours === major && ourMinor >= minor);
  }
}

function isYoung(ioctl: IommufdIoctl): ioctl is YoungIoctl {
  return Object.hasOwn(IOCTLS_SINCE, ioctl);
}
