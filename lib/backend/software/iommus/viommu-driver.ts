/** The driver's part of a vIOMMU (struct iommufd_viommu_ops). */

import type { DriverData } from "../../../uapi.ts";
import type { BatchStatus } from "../../raw.ts";
import type { InvalidateRequest } from "../../requests.ts";
import type { Stage1 } from "./stage-1.ts";

/** The devices of a vIOMMU, by what the guest calls them. */
export interface VirtualDevices {
  /** Finds one, with what its hardware caches; undefined where there is none of that number. */
  find(virtualId: bigint): { readonly cache: Uint32Array } | undefined;
}

/** One vIOMMU. Operations that a driver leaves out are refused: EOPNOTSUPP. */
export interface ViommuDriver {
  /** Memory that it offers for mapping. */
  readonly page?: ArrayBuffer;
  /** enum iommu_hw_queue_type: the hardware queues that it has. */
  readonly hwQueueType?: number;
  /**
   * The data that the driver writes into its structure, whose length it may refuse.
   *
   * @param offset where `page` can be mapped
   */
  answer?(data: Uint8Array, offset: bigint): void;
  /** alloc_domain_nested() */
  allocNested?(data: DriverData, flags: { readonly pasid: boolean }): Stage1;
  /** cache_invalidate(): what was handled stays handled. */
  invalidate?(request: InvalidateRequest, devices: VirtualDevices): BatchStatus;
}
