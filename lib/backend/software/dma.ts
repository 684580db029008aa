/**
 * The path of an access of a device: the IOMMU walks the page tables that it is attached to, as VT-d does
 * (Intel Virtualization Technology for Directed I/O, revision 4.1, chapter 3 and section 9).
 *
 * First-stage tables are a guest's, in memory that the second stage maps. The IOMMU sets Accessed and Dirty flags in
 * them, for which the second stage has to allow writing; with ERRATA_772415_SPR17 it writes them all the same.
 */

import { IommufdError } from "../../errors.ts";
import { IOMMU_PGFAULT_PERM_READ, IOMMU_PGFAULT_PERM_WRITE, IOMMUFD_PAGE_RESP_SUCCESS } from "../../uapi.ts";
import { AREA_READABLE, AREA_WRITEABLE, type Area, offsetOf } from "./area.ts";
import { type BoundDevice, NO_PASID } from "./bound-device.ts";
import { FaultQueueObject } from "./fault-queue.ts";
import type { Access, Blocked, DmaFaultReason, GuestMemory } from "./iommus/stage-1.ts";
import { type HwptObject, NestedHwptObject, type PagingHwptObject } from "./page-tables.ts";

const PAGE = 4096n;
/** How often an access is tried again after a page request was answered with success. */
const MOST_TRIES = 16;

/** An access of a device that its IOMMU stopped. */
export class DmaFault extends IommufdError {
  /** The obstacle. */
  readonly reason: DmaFaultReason;
  /** The address that it was stopped at. */
  readonly iova: bigint;

  /** @internal */
  constructor(reason: DmaFaultReason, access: Access, iova: bigint) {
    super("ERR_IOMMUFD_DMA_FAULT", `the IOMMU stopped a ${access} at 0x${iova.toString(16)}: ${reason}`);
    this.reason = reason;
    this.iova = iova;
  }
}

/**
 * Lets a device read or write.
 *
 * @param bytes what is written, or is to be filled
 * @throws DmaFault what was before the address that was stopped has gone through
 */
export async function transfer(
  device: BoundDevice,
  access: Access,
  iova: bigint,
  bytes: Uint8Array,
  pasid = NO_PASID,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const at = iova + BigInt(done);
    const part = bytes.subarray(done, done + Math.min(bytes.length - done, Number(PAGE - (at % PAGE))));
    const area = await reach(device, access, at, pasid);
    const memory = new Uint8Array(area.memory.buffer(), Number(offsetOf(area) + (area.at - area.start)));
    // A mapping may end within a page, where the IOMMU has smaller ones, or none has narrowed it.
    const length = Math.min(part.length, Number(area.last - area.at + 1n));
    if (access === "write") memory.set(part.subarray(0, length));
    else part.set(memory.subarray(0, length));
    done += length;
  }
}

/** The second stage's mapping of an address, and where in it. */
type Reached = Area & { readonly at: bigint };

/** Asks for the page where it is missing and there is somebody to ask. */
async function reach(device: BoundDevice, access: Access, iova: bigint, pasid: number): Promise<Reached> {
  for (let tries = 0; ; tries++) {
    const hwpt = device.attachedTo(pasid);
    const reached: Reached | Blocked =
      hwpt === undefined ? { reason: "not-attached" } : translate(hwpt, access, iova);
    if ("at" in reached) return reached;
    if (reached.event !== undefined) device.report(reached.event);
    const queue = hwpt?.faultQueue;
    if (!(queue instanceof FaultQueueObject) || !device.profile.pri || tries === MOST_TRIES)
      throw new DmaFault(reached.reason, access, iova);
    const answer = await queue.report([device.fault(iova & -PAGE, pasid, permission(access))]);
    if (answer !== IOMMUFD_PAGE_RESP_SUCCESS) throw new DmaFault(reached.reason, access, iova);
  }
}

function permission(access: Access): number {
  return access === "write" ? IOMMU_PGFAULT_PERM_WRITE : IOMMU_PGFAULT_PERM_READ;
}

function translate(hwpt: HwptObject, access: Access, iova: bigint): Reached | Blocked {
  if (!(hwpt instanceof NestedHwptObject)) return secondStage(hwpt, access, iova);
  const address = hwpt.stage1.translate(new SecondStage(hwpt.parent), access, iova);
  return typeof address === "bigint" ? secondStage(hwpt.parent, access, address) : address;
}

function secondStage(hwpt: PagingHwptObject, access: Access, iova: bigint): Reached | Blocked {
  const area = hwpt.ioas.iopt.find(iova);
  if (area === undefined) return { reason: "not-mapped" };
  if (!(area.flags & (access === "write" ? AREA_WRITEABLE : AREA_READABLE)))
    return { reason: "no-permission" };
  if (access === "write") hwpt.wrote(iova);
  return { ...area, at: iova };
}

/** The memory of a guest whose page table lies in it. */
class SecondStage implements GuestMemory {
  readonly #parent: PagingHwptObject;

  constructor(parent: PagingHwptObject) {
    this.#parent = parent;
  }

  read(address: bigint): bigint | Blocked {
    const reached = secondStage(this.#parent, "read", address);
    return "at" in reached
      ? entryView(reached).getBigUint64(0, true)
      : { reason: "first-stage-out-of-reach" };
  }

  mark(address: bigint, entry: bigint): Blocked | undefined {
    let reached = secondStage(this.#parent, "write", address);
    // The erratum: the second stage is asked where the entry is, and not whether it may be written.
    if (!("at" in reached) && this.#parent.hasErratum) reached = secondStage(this.#parent, "read", address);
    if (!("at" in reached)) return { reason: "first-stage-out-of-reach" };
    entryView(reached).setBigUint64(0, entry, true);
    return undefined;
  }
}

function entryView(area: Reached): DataView {
  return new DataView(area.memory.buffer(), Number(offsetOf(area) + (area.at - area.start)), 8);
}
