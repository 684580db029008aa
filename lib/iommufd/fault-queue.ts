/**
 * Page requests of devices (PCI Express PRI): faults that a guest, or a driver in user space, resolves.
 */

import type { IommufdFile } from "../backend/backend.ts";
import type { FaultQueueFile } from "../backend/handles.ts";
import { isSystemError, outOfRange } from "../errors.ts";
import {
  type DeviceId,
  type FaultQueueId,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  IOMMU_PGFAULT_PERM_EXEC,
  IOMMU_PGFAULT_PERM_PRIV,
  IOMMU_PGFAULT_PERM_READ,
  IOMMU_PGFAULT_PERM_WRITE,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  type PageFaultRecord,
} from "../uapi.ts";
import { EventStream } from "./event-stream.ts";
import type { Resource } from "./resource.ts";

/** How many faults are read at once, and, for a group that has more, at most (what PCI allows is 512). */
const FEW = 64;
const MOST = 4096;

/** A page that a device asks for (struct iommu_hwpt_pgfault). */
export interface PageFault {
  /** The address that is missing. */
  readonly address: bigint;
  /** The access that the device wants. */
  readonly permissions: {
    /** IOMMU_PGFAULT_PERM_READ */
    readonly read: boolean;
    /** IOMMU_PGFAULT_PERM_WRITE */
    readonly write: boolean;
    /** Only with a PASID. */
    readonly execute: boolean;
    /** In privileged mode; only with a PASID. */
    readonly privileged: boolean;
  };
  /** How much it is about to use, in bytes; 0 where it did not say. */
  readonly length: number;
}

/** How a group of faults is answered (enum iommufd_page_response_code). */
export type PageResponse =
  /** The pages are there now: the device tries again. */
  | "success"
  /** They will not be: the access fails. */
  | "invalid";

/** Faults that a device sent together, and that are answered together. */
export class PageFaultGroup {
  /** The device that they came from, by its object id. */
  readonly deviceId: DeviceId;
  /** The PASID of the accesses; undefined for those without. */
  readonly pasid: number | undefined;
  /** Page Request Group Index. */
  readonly groupId: number;
  /** In the order that they came. */
  readonly faults: readonly PageFault[];
  readonly #queue: FaultQueueFile;
  readonly #cookie: number;

  /** @internal */
  constructor(queue: FaultQueueFile, records: readonly PageFaultRecord[]) {
    const [first] = records as [PageFaultRecord];
    this.deviceId = first.deviceId;
    this.pasid = first.flags & IOMMU_PGFAULT_FLAGS_PASID_VALID ? first.pasid : undefined;
    this.groupId = first.groupId;
    this.faults = records.map(({ address, permissions, length }) => ({
      address,
      permissions: {
        read: (permissions & IOMMU_PGFAULT_PERM_READ) !== 0,
        write: (permissions & IOMMU_PGFAULT_PERM_WRITE) !== 0,
        execute: (permissions & IOMMU_PGFAULT_PERM_EXEC) !== 0,
        privileged: (permissions & IOMMU_PGFAULT_PERM_PRIV) !== 0,
      },
      length,
    }));
    this.#queue = queue;
    this.#cookie = first.cookie;
  }

  /**
   * Answers the group; the device waits for it. Closing the queue answers all that are open with "invalid".
   *
   * @throws SystemError of `write`: EINVAL: it has been answered, or the device was detached meanwhile
   */
  respond(response: PageResponse): void {
    if (response !== "success" && response !== "invalid")
      throw outOfRange("response", '"success" or "invalid"', response);
    const code = response === "success" ? IOMMUFD_PAGE_RESP_SUCCESS : IOMMUFD_PAGE_RESP_INVALID;
    this.#queue.respond(this.#cookie, code);
  }
}

/**
 * Where the faults of HWPTs go that were allocated with it ({@link HwptOptions.faultQueue}). Made by
 * {@link Iommufd.allocFaultQueue}. Closing it closes those HWPTs, which refer to it.
 *
 * ```ts
 * for await (const group of faultQueue) {
 *   for (const { address } of group.faults) mapPageAt(address);
 *   group.respond("success");
 * }
 * ```
 */
export class FaultQueue extends EventStream<PageFaultGroup> {
  /** Its object id. */
  readonly id: FaultQueueId;
  readonly #iommufd: IommufdFile;
  readonly #file: FaultQueueFile;

  /** @internal */
  constructor(iommufd: IommufdFile, parent: Resource) {
    const file = iommufd.faultQueueAlloc();
    super(file, parent);
    this.id = file.id;
    this.#iommufd = iommufd;
    this.#file = file;
  }

  protected override take(): PageFaultGroup[] {
    const groups = new Map<number, PageFaultRecord[]>();
    for (const record of this.#read(FEW)) {
      const group = groups.get(record.cookie);
      if (group === undefined) groups.set(record.cookie, [record]);
      else group.push(record);
    }
    return [...groups.values()].map((records) => new PageFaultGroup(this.#file, records));
  }

  /** The kernel answers EINVAL where the next group does not fit. */
  #read(count: number): PageFaultRecord[] {
    try {
      return this.#file.read(count);
    } catch (error) {
      if (count >= MOST || !isSystemError(error, "EINVAL")) throw error;
      return this.#read(count * 8);
    }
  }

  /** The kernel keeps the queue for as long as its descriptor is open. */
  protected override release(whole: boolean): void {
    super.release(whole);
    if (!whole) this.#iommufd.destroy(this.id);
  }
}
