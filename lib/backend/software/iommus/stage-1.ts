/**
 * The first stage of nested translation: a guest's page table, which lies in memory that the second stage maps. Each
 * IOMMU has a format of its own; its users know only this interface.
 */

import type { BatchStatus } from "../../raw.ts";
import type { InvalidateRequest } from "../../requests.ts";
import type { IommuProfile } from "../profile.ts";

/** The kinds of accesses to memory. */
export type Access = "read" | "write";

/** Why an access does not go through. */
export type DmaFaultReason =
  /** The device is attached to nothing. */
  | "not-attached"
  /** Nothing is mapped there. */
  | "not-mapped"
  /** The mapping there does not allow this use. */
  | "no-permission"
  /** The entry of the first stage that leads there is not present. */
  | "not-present"
  /** The first stage says that it may not be written. */
  | "first-stage-read-only"
  /** The address is none of the first stage: it is not canonical. */
  | "not-canonical"
  /** An entry of the first stage cannot be read, or not be marked, because of the second stage. */
  | "first-stage-out-of-reach"
  /** The guest lets the device translate nothing: an SMMU's stream table entry that is not valid, or says to abort. */
  | "first-stage-aborts"
  /** The guest has configured the device in a way that the IOMMU does not take: C_BAD_STE, C_BAD_CD of an SMMU. */
  | "first-stage-misconfigured"
  /** The entry of the first stage has no Access flag, and the IOMMU sets none. */
  | "not-accessed"
  /** The first stage leads to an address that is too large for it. */
  | "first-stage-address-too-large";

/** An access that does not go through. */
export interface Blocked {
  /** The obstacle. */
  readonly reason: DmaFaultReason;
  /**
   * The record that the IOMMU writes into its event queue, as the guest is to read it; absent if the guest must not see
   * it.
   */
  readonly event?: FirstStageEvent;
}

/** An event of the first stage, for the guest. */
export interface FirstStageEvent {
  /** enum iommu_veventq_type */
  readonly type: number;
  /** The record, where the guest calls the device by that number. */
  record(virtualId: bigint): Uint8Array;
}

/** The guest's memory, as the first stage has it: through the second. */
export interface GuestMemory {
  /** A double word. */
  read(address: bigint): bigint | Blocked;
  /** Replaces a double word by one that has more flags. */
  mark(address: bigint, entry: bigint): Blocked | undefined;
}

/** A device on its way to a first stage. */
export interface AttachingDevice {
  /** Its IOMMU's information about itself. */
  readonly hwInfo: IommuProfile["hwInfo"];
  /** The guest's id of it; undefined if it has no vDEVICE. */
  readonly virtualId: bigint | undefined;
}

/** A guest's part of a nested page table, of one format. */
export interface Stage1 {
  /** Walks it: the guest-physical address of what a device calls `iova`. */
  translate(memory: GuestMemory, access: Access, iova: bigint): bigint | Blocked;
  /** attach_dev(): what the driver asks of a device. */
  checkAttach(device: AttachingDevice): void;
  /** The driver's cache_invalidate_user(): what was handled stays handled. Absent: EOPNOTSUPP. */
  invalidate?(request: InvalidateRequest): BatchStatus;
}
