/**
 * Virtual IOMMUs and what belongs to them (drivers/iommu/iommufd/viommu.c), of the one driver whose are modelled: that of
 * the kernel's mock devices (drivers/iommu/iommufd/selftest.c).
 */

import type { DriverData } from "../../uapi.ts";
import type { BatchStatus } from "../raw.ts";
import type { HwQueueAllocRequest, InvalidateRequest } from "../requests.ts";
import { KernelObject } from "./object-table.ts";
import { PagingHwptObject } from "./page-tables.ts";
import type { IommuProfile } from "./profile.ts";
import { Refusal, stoppedAt } from "./refusal.ts";
import { CACHE_ENTRIES, SELFTEST } from "./selftest.ts";
import type { EventfulViommu, VeventqObject } from "./vevent-queue.ts";

/** How many hardware queues a mock vIOMMU has (IOMMU_TEST_HW_QUEUE_MAX). */
const HW_QUEUES = 2;

/** What a vIOMMU has to know of a device. */
export interface VirtualizedDevice {
  readonly iommu: IommuProfile;
  /** The cache of a mock device. */
  readonly cache: Uint32Array;
  /** What it is to a vIOMMU. */
  vdevice: VdeviceObject | undefined;
}

/** IOMMUFD_OBJ_VIOMMU */
export class ViommuObject extends KernelObject implements EventfulViommu {
  readonly parent: PagingHwptObject;
  /** What its driver answered. */
  readonly data: Uint8Array;
  /** Memory that it offers for mapping. */
  readonly page = new ArrayBuffer(8192);
  readonly vdevices = new Map<bigint, VdeviceObject>();
  readonly veventqs = new Map<number, VeventqObject>();
  readonly hwQueues: (HwQueueObject | undefined)[] = [];

  /** iommufd_viommu_alloc_ioctl(), mock_viommu_init() */
  constructor({ iommu }: VirtualizedDevice, parent: KernelObject | undefined, { type, bytes }: DriverData) {
    super();
    if (iommu.hwInfo.type !== "selftest" || type !== SELFTEST.viommuType) throw new Refusal("EOPNOTSUPP");
    if (!(parent instanceof PagingHwptObject)) throw new Refusal("ENOENT");
    if (!parent.options.nestParent) throw new Refusal("EINVAL");
    this.parent = parent;
    this.data = bytes.slice();
    parent.users++;
  }

  /** struct iommu_viommu_selftest: what comes in goes out again, and to the start of the page. */
  answer(offset: bigint): void {
    if (this.data.length === 0) return;
    if (this.data.length < 8 || this.data.length > 24) throw new Refusal("EINVAL");
    const given = new DataView(this.data.buffer).getUint32(0, true);
    new DataView(this.page).setUint32(0, given, true);
    const answer = new DataView(new ArrayBuffer(24));
    answer.setUint32(0, given, true);
    answer.setUint32(4, given, true);
    answer.setBigUint64(8, offset, true);
    answer.setBigUint64(16, BigInt(this.page.byteLength), true);
    this.data.set(new Uint8Array(answer.buffer, 0, this.data.length));
  }

  /** mock_viommu_cache_invalidate(): entries of u32 flags, u32 vdev_id, u32 cache_id. */
  invalidate({ dataType, entryLength, count, entries }: InvalidateRequest): BatchStatus {
    if (dataType !== SELFTEST.invalidateType || (count > 0 && entryLength !== 12))
      throw new Refusal("EINVAL");
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    for (let done = 0; done < count; done++) {
      const [flags, virtId, cache] = [0, 4, 8].map((at) => view.getUint32(done * 12 + at, true)) as [
        number,
        number,
        number,
      ];
      if (flags & ~1) return stoppedAt(done, "EOPNOTSUPP");
      const device = this.vdevices.get(BigInt(virtId))?.device;
      if (cache >= CACHE_ENTRIES || device === undefined) return stoppedAt(done, "EINVAL");
      if (flags & 1) device.cache.fill(0);
      else device.cache[cache] = 0;
    }
    return { done: count, status: 0 };
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
    if (viommu.parent.iommu !== device.iommu) throw new Refusal("EINVAL");
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
    if (type !== SELFTEST.hwQueueType) throw new Refusal("EOPNOTSUPP");
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
