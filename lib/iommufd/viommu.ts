/**
 * Virtual IOMMUs: the part of an IOMMU's hardware that a guest is given, for those that have such (Arm SMMUv3, NVIDIA
 * Tegra241 CMDQV).
 */

import {
  type ByteCount,
  checkByteCount,
  checkOptions,
  checkU32,
  checkU64,
  knownOptions,
} from "../arguments.ts";
import type { IommufdFile } from "../backend/backend.ts";
import type { ViommuAllocRequest } from "../backend/requests.ts";
import { outOfRange } from "../errors.ts";
import {
  type DriverData,
  type HwQueueId,
  IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
  IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
  IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
  type VdeviceId,
  type ViommuId,
} from "../uapi.ts";
import { Device } from "./device.ts";
import { checkDriverData, encodeSmmuCommands, type RawInvalidation } from "./driver-data.ts";
import { invalidate } from "./invalidation.ts";
import { MappedRegion } from "./region.ts";
import { Resource } from "./resource.ts";
import { VEVENT_QUEUE_OPTIONS, VeventQueue, type VeventQueueOptions } from "./vevent-queue.ts";

/** Which kind of vIOMMU: one that is known here, or the data of a driver that is not. */
export type ViommuType = "arm-smmuv3" | "tegra241-cmdqv" | DriverData;

/** Where a queue of the hardware is, which a guest fills. */
export interface HwQueueOptions {
  /** "tegra241-cmdqv", or another IOMMU_HW_QUEUE_TYPE_*. */
  type: "tegra241-cmdqv" | number;
  /** Which of the vIOMMU's queues; they are allocated in ascending order. */
  index: number;
  /** Where its memory is mapped in the address space of the nest parent; the pages must be contiguous. */
  iova: bigint;
  /** In bytes. */
  length: ByteCount;
}

const HW_QUEUE_OPTIONS = knownOptions<HwQueueOptions>({
  type: "other",
  index: "other",
  iova: "other",
  length: "other",
});

/**
 * A virtual IOMMU. Made by {@link Hwpt.allocViommu}. Closing it closes what was made from it.
 */
export class Viommu extends Resource {
  /** Its object id. */
  readonly id: ViommuId;
  /** The answer of its driver, in the structure of the request; empty if there is none. */
  readonly data: Uint8Array;
  readonly #file: IommufdFile;

  /** @internal */
  constructor(file: IommufdFile, parent: Resource, request: ViommuAllocRequest) {
    const { id, data } = file.viommuAlloc(request);
    super(parent);
    this.id = id;
    this.data = data;
    this.#file = file;
  }

  /**
   * Gives a device the id that the guest uses for it (IOMMU_VDEVICE_ALLOC).
   *
   * @param virtId the virtual stream id, device id or BDF; 64 bits
   * @throws SystemError EEXIST: that id, or that device, has one; EINVAL: the device is behind another IOMMU
   */
  allocVdevice(device: Device, virtId: bigint): Vdevice {
    this.assertOpen();
    this.checkPeer(device, Device, "device");
    return new Vdevice(this.#file, this, device, checkU64(virtId, "virtId"));
  }

  /**
   * Makes a queue of events for the guest (IOMMU_VEVENTQ_ALLOC).
   *
   * @throws SystemError EEXIST: there is one of that type; EINVAL: a depth of 0 or more than 2^19; EOPNOTSUPP: not of
   *   that type
   */
  allocVeventQueue(options: VeventQueueOptions): VeventQueue {
    this.assertOpen();
    return new VeventQueue(this.#file, this, this.id, checkOptions(options, VEVENT_QUEUE_OPTIONS));
  }

  /**
   * Gives the guest a queue of the hardware (IOMMU_HW_QUEUE_ALLOC). Its memory stays pinned until it is closed.
   *
   * @throws SystemError EOPNOTSUPP: the hardware has none of that type; EEXIST: it is in use; EIO: the one before it is
   *   not; EINVAL, ENOENT: nothing is mapped there; EFAULT: the pages are not contiguous
   */
  allocHwQueue(options: HwQueueOptions): HwQueue {
    this.assertOpen();
    return new HwQueue(this.#file, this, checkOptions(options, HW_QUEUE_OPTIONS));
  }

  /**
   * Runs the guest's invalidation commands (IOMMU_HWPT_INVALIDATE).
   *
   * @param commands of the SMMU's command queue, two double words each; or entries of another driver
   * @returns how many were handled: all
   * @throws SystemError EIO: a command that a guest may not give; `request.index` is its number. Give the commands before it
   *   again without it: Linux 7.2 counts commands of an SMMU as handled and has not run them
   */
  invalidate(commands: readonly (readonly [bigint, bigint])[] | RawInvalidation): number {
    this.assertOpen();
    const entries = "bytes" in commands ? commands : encodeSmmuCommands(commands);
    return invalidate(this.#file, this.id, entries);
  }

  /**
   * Maps registers that it offers to the guest; its driver says where, in {@link data}.
   *
   * @throws SystemError of `mmap`: EINVAL, ENXIO: nothing is offered there
   */
  map(offset: ByteCount, length: ByteCount): MappedRegion {
    this.assertOpen();
    const bytes = checkByteCount(length, "length");
    const region = this.#file.mapRegion(checkByteCount(offset, "offset"), bytes);
    return new MappedRegion(this, region, bytes);
  }

  protected override release(whole: boolean): void {
    if (!whole) this.#file.destroy(this.id);
  }
}

/** The guest's id of a device, given to a {@link Viommu}. Closing the device closes it too. */
export class Vdevice extends Resource {
  /** Its object id. */
  readonly id: VdeviceId;
  /** The guest's id of the device. */
  readonly virtId: bigint;
  readonly #file: IommufdFile;

  /** @internal */
  constructor(file: IommufdFile, viommu: Viommu, device: Device, virtId: bigint) {
    const id = file.vdeviceAlloc(viommu.id, device.id, virtId);
    super(viommu, device);
    this.id = id;
    this.virtId = virtId;
    this.#file = file;
  }

  protected override release(whole: boolean): void {
    if (!whole) this.#file.destroy(this.id);
  }
}

/** A queue of the hardware that a guest fills. */
export class HwQueue extends Resource {
  /** Its object id. */
  readonly id: HwQueueId;
  readonly #file: IommufdFile;

  /** @internal */
  constructor(file: IommufdFile, viommu: Viommu, { type, index, iova, length }: HwQueueOptions) {
    const id = file.hwQueueAlloc({
      viommuId: viommu.id,
      type: type === "tegra241-cmdqv" ? IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV : checkU32(type, "type"),
      index: checkU32(index, "index"),
      iova: checkU64(iova, "iova"),
      length: checkByteCount(length, "length"),
    });
    super(viommu);
    this.id = id;
    this.#file = file;
  }

  protected override release(whole: boolean): void {
    if (!whole) this.#file.destroy(this.id);
  }
}

/** The requests to a vIOMMU. */
export function encodeViommu(type: ViommuType): DriverData {
  if (type === "arm-smmuv3") return { type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3, bytes: new Uint8Array(0) };
  // struct iommu_viommu_tegra241_cmdqv, which the driver fills: where its VINTF page can be mapped, and how long it is.
  if (type === "tegra241-cmdqv") return { type: IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, bytes: new Uint8Array(16) };
  if (typeof type !== "object" || type === null)
    throw outOfRange("type", '"arm-smmuv3", "tegra241-cmdqv" or the data of a driver', type);
  return checkDriverData(type);
}
