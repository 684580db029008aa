/** An IOMMU group: devices that the IOMMU cannot tell apart, and so have one attachment (drivers/iommu/iommu.c). */

import type { HwptObject } from "./page-tables.ts";
import { Refusal } from "./refusal.ts";

/** The path of DMA without a PASID, or with one. */
export interface Attachment<Device> {
  hwpt: HwptObject;
  /** The devices that were attached; the others of the group follow. */
  readonly devices: Set<Device>;
}

/** struct iommufd_group */
export class DeviceGroup<Device> {
  /** By PASID. */
  readonly attachments = new Map<number, Attachment<Device>>();
  #owner: object | undefined;
  #devices = 0;

  /** iommu_device_claim_dma_owner(): EPERM where another iommufd has a device of the group. */
  claim(owner: object): void {
    if (this.#owner !== undefined && this.#owner !== owner) throw new Refusal("EPERM");
    this.#owner = owner;
    this.#devices++;
  }

  /** iommu_device_release_dma_owner() */
  release(): void {
    if (--this.#devices === 0) this.#owner = undefined;
  }
}
