/** Virtual IOMMUs and what belongs to them (drivers/iommu/iommufd/viommu.c). */

import type { DriverData } from "../../uapi.ts";
import type { BatchStatus } from "../raw.ts";
import type { HwQueueAllocRequest, InvalidateRequest } from "../requests.ts";
import type { Iommu } from "./iommus/iommu.ts";
import type { ViommuDriver } from "./iommus/viommu-driver.ts";
import { KernelObject } from "./object-table.ts";
import { type DeviceBehindIommu, type NestingViommu, PagingHwptObject } from "./page-tables.ts";
import { Refusal } from "./refusal.ts";
import type { EventfulViommu, VeventqObject } from "./vevent-queue.ts";

/** How many hardware queues a mock vIOMMU has (IOMMU_TEST_HW_QUEUE_MAX). */
const HW_QUEUES = 2;

/** The part of a device that a vIOMMU has to know. */
export interface VirtualizedDevice extends DeviceBehindIommu {
  /** The cache of a mock device. */
  readonly cache: Uint32Array;
  /** Its role for a vIOMMU. */
  vdevice: VdeviceObject | undefined;
}

/** IOMMUFD_OBJ_VIOMMU */
export class ViommuObject extends KernelObject implements EventfulViommu, NestingViommu {
  /** The IOMMU that it is a part of. */
  readonly iommu: Iommu;
  readonly parent: PagingHwptObject;
  readonly driver: ViommuDriver;
  /** The answer of its driver. */
  readonly data: Uint8Array;
  readonly vdevices = new Map<bigint, VdeviceObject>();
  readonly veventqs = new Map<number, VeventqObject>();
  readonly hwQueues: (HwQueueObject | undefined)[] = [];

  /** iommufd_viommu_alloc_ioctl() */
  constructor({ iommu }: VirtualizedDevice, parent: KernelObject | undefined, { type, bytes }: DriverData) {
    super();
    if (!iommu.hasViommu(type)) throw new Refusal("EOPNOTSUPP");
    if (!(parent instanceof PagingHwptObject)) throw new Refusal("ENOENT");
    if (!parent.options.nestParent) throw new Refusal("EINVAL");
    this.iommu = iommu;
    this.parent = parent;
    this.driver = iommu.viommu(parent.iommu);
    this.data = bytes.slice();
    parent.users++;
  }

  /** iommufd_viommu_get_vdev_id() */
  virtualIdOf(device: DeviceBehindIommu): bigint | undefined {
    for (const [virtId, vdevice] of this.vdevices) if (vdevice.device === device) return virtId;
    return undefined;
  }

  /** Nobody is told where there is no queue of that type. */
  report(type: number, data: Uint8Array): void {
    this.veventqs.get(type)?.report(data);
  }

  invalidate(request: InvalidateRequest): BatchStatus {
    if (this.driver.invalidate === undefined) throw new Refusal("EOPNOTSUPP");
    return this.driver.invalidate(request, { find: (virtId) => this.vdevices.get(virtId)?.device });
  }

  override destroy(): void {
    this.parent.users--;
  }
}

/** IOMMUFD_OBJ_VDEVICE */
export class VdeviceObject extends KernelObject {
  readonly viommu: ViommuObject;
  readonly device: VirtualizedDevice;
  readonly virtId: bigint;

  /** iommufd_vdevice_alloc_ioctl() */
  constructor(viommu: ViommuObject, device: VirtualizedDevice, virtId: bigint) {
    super();
    if (viommu.iommu !== device.iommu) throw new Refusal("EINVAL");
    if (device.vdevice !== undefined || viommu.vdevices.has(virtId)) throw new Refusal("EEXIST");
    this.viommu = viommu;
    this.device = device;
    this.virtId = virtId;
    viommu.users++;
    viommu.vdevices.set(virtId, this);
    device.vdevice = this;
  }

  override destroy(): void {
    this.viommu.users--;
    this.viommu.vdevices.delete(this.virtId);
    this.device.vdevice = undefined;
  }
}

/** IOMMUFD_OBJ_HW_QUEUE */
export class HwQueueObject extends KernelObject {
  readonly #viommu: ViommuObject;
  readonly #index: number;
  readonly #before: HwQueueObject | undefined;

  /** iommufd_hw_queue_alloc_ioctl(), mock_hw_queue_init_phys(): the memory is pinned, then the driver is asked. */
  constructor(viommu: ViommuObject, { type, index, iova, length }: HwQueueAllocRequest) {
    super();
    if (viommu.driver.hwQueueType !== type) throw new Refusal("EOPNOTSUPP");
    const { iopt } = viommu.parent.ioas;
    iopt.pin(iova, length, this);
    try {
      if (index >= HW_QUEUES) throw new Refusal("EINVAL");
      if (viommu.hwQueues[index] !== undefined) throw new Refusal("EEXIST");
      if (index > 0 && viommu.hwQueues[index - 1] === undefined) throw new Refusal("EIO");
    } catch (error) {
      iopt.unpin(this);
      throw error;
    }
    this.#viommu = viommu;
    this.#index = index;
    this.#before = viommu.hwQueues[index - 1];
    if (this.#before !== undefined) this.#before.users++;
    viommu.users++;
    viommu.hwQueues[index] = this;
  }

  override destroy(): void {
    if (this.#before !== undefined) this.#before.users--;
    this.#viommu.users--;
    this.#viommu.hwQueues[this.#index] = undefined;
    this.#viommu.parent.ioas.iopt.unpin(this);
  }
}
