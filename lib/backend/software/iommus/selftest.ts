/** The driver of the kernel's mock devices (drivers/iommu/iommufd/selftest.c), and what it knows (iommufd_test.h). */

import type { DriverData } from "../../../uapi.ts";
import type { BatchStatus } from "../../raw.ts";
import type { InvalidateRequest } from "../../requests.ts";
import { Refusal, stoppedAt } from "../refusal.ts";
import { Iommu } from "./iommu.ts";
import type { Access, GuestMemory, Stage1 } from "./stage-1.ts";
import type { ViommuDriver, VirtualDevices } from "./viommu-driver.ts";

/** Its numbers. */
export const SELFTEST = {
  hwInfoType: 0xfeedbeef,
  /** The value of its only register. */
  register: 0xdeadbeef,
  hwptDataType: 0xdead,
  invalidateType: 0xdeadbeef,
  viommuType: 0xdeadbeef,
  veventqType: 0xbeefbeef,
  hwQueueType: 0xdeadbeef,
} as const;

/** How many entries the IOTLB of a nested page table has (MOCK_NESTED_DOMAIN_IOTLB_NUM). */
const IOTLB_ENTRIES = 4;
/** How many entries the cache of a device has (MOCK_DEV_CACHE_NUM), and what they hold at first. */
export const CACHE_ENTRIES = 4;
export const CACHED = 0xbaddad;

/** Its model. */
export class SelftestIommu extends Iommu {
  readonly hwInfoType = SELFTEST.hwInfoType;

  /** struct iommu_test_hw_info: u32 flags, u32 test_reg. */
  hwInfo(): Uint8Array {
    return new Uint8Array(Uint32Array.of(0, SELFTEST.register).buffer);
  }

  /** MOCK_IOMMUPT_DEFAULT; its other page tables are not modelled. */
  override checkPagingData(data: DriverData): void {
    if (readData(data).pageTableType !== 0) throw new Refusal("EOPNOTSUPP");
  }

  override allocNested(data: DriverData): Stage1 {
    return new SelftestStage1(data);
  }

  override hasViommu(type: number): boolean {
    return type === SELFTEST.viommuType;
  }

  override viommu(): ViommuDriver {
    return new SelftestViommu();
  }
}

/** struct iommu_hwpt_selftest: u32 iotlb, u32 pagetable_type, of which the last may be missing. */
function readData({ type, bytes }: DriverData): { iotlb: number; pageTableType: number } {
  if (type !== SELFTEST.hwptDataType) throw new Refusal("EOPNOTSUPP");
  if (bytes.length < 4 || bytes.length > 8) throw new Refusal("EINVAL");
  const whole = new Uint8Array(8);
  whole.set(bytes);
  const [iotlb = 0, pageTableType = 0] = new Uint32Array(whole.buffer);
  return { iotlb, pageTableType };
}

/** This stage walks nothing: the addresses are the second stage's. Its page table has an IOTLB. */
export class SelftestStage1 implements Stage1 {
  readonly iotlb: Uint32Array;

  constructor(data: DriverData) {
    this.iotlb = new Uint32Array(IOTLB_ENTRIES).fill(readData(data).iotlb);
  }

  translate(_memory: GuestMemory, _access: Access, iova: bigint): bigint {
    return iova;
  }

  checkAttach(): void {}

  /** mock_domain_cache_invalidate_user(): entries of u32 flags, u32 iotlb_id. */
  invalidate({ dataType, entryLength, count, entries }: InvalidateRequest): BatchStatus {
    if (dataType !== SELFTEST.invalidateType || (count > 0 && entryLength !== 8)) throw new Refusal("EINVAL");
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    for (let done = 0; done < count; done++) {
      const [flags, index] = [view.getUint32(done * 8, true), view.getUint32(done * 8 + 4, true)];
      if (flags & ~1) return stoppedAt(done, "EOPNOTSUPP");
      if (index >= IOTLB_ENTRIES) return stoppedAt(done, "EINVAL");
      if (flags & 1) this.iotlb.fill(0);
      else this.iotlb[index] = 0;
    }
    return { done: count, status: 0 };
  }
}

class SelftestViommu implements ViommuDriver {
  readonly page = new ArrayBuffer(8192);
  readonly hwQueueType = SELFTEST.hwQueueType;

  /** struct iommu_viommu_selftest: what comes in goes out again, and to the start of the page. */
  answer(data: Uint8Array, offset: bigint): void {
    if (data.length === 0) return;
    if (data.length < 8 || data.length > 24) throw new Refusal("EINVAL");
    const given = new DataView(data.buffer).getUint32(0, true);
    new DataView(this.page).setUint32(0, given, true);
    const answer = new DataView(new ArrayBuffer(24));
    answer.setUint32(0, given, true);
    answer.setUint32(4, given, true);
    answer.setBigUint64(8, offset, true);
    answer.setBigUint64(16, BigInt(this.page.byteLength), true);
    data.set(new Uint8Array(answer.buffer, 0, data.length));
  }

  allocNested(data: DriverData): Stage1 {
    return new SelftestStage1(data);
  }

  /** mock_viommu_cache_invalidate(): entries of u32 flags, u32 vdev_id, u32 cache_id. */
  invalidate(
    { dataType, entryLength, count, entries }: InvalidateRequest,
    devices: VirtualDevices,
  ): BatchStatus {
    if (dataType !== SELFTEST.invalidateType || (count > 0 && entryLength !== 12))
      throw new Refusal("EINVAL");
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    for (let done = 0; done < count; done++) {
      const [flags, virtualId, entry] = [0, 4, 8].map((at) => view.getUint32(done * 12 + at, true)) as [
        number,
        number,
        number,
      ];
      if (flags & ~1) return stoppedAt(done, "EOPNOTSUPP");
      const device = devices.find(BigInt(virtualId));
      if (entry >= CACHE_ENTRIES || device === undefined) return stoppedAt(done, "EINVAL");
      if (flags & 1) device.cache.fill(0);
      else device.cache[entry] = 0;
    }
    return { done: count, status: 0 };
  }
}
