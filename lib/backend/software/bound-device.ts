/**
 * A device bound to an iommufd, and its attachment (drivers/iommu/iommufd/device.c).
 */

import { type DeviceId, IOMMU_PGFAULT_FLAGS_PASID_VALID } from "../../uapi.ts";
import type { DeviceGroup } from "./device-group.ts";
import { type Fault, FaultQueueObject } from "./fault-queue.ts";
import type { Iommu } from "./iommus/iommu.ts";
import { CACHE_ENTRIES, CACHED, SELFTEST } from "./iommus/selftest.ts";
import type { FirstStageEvent } from "./iommus/stage-1.ts";
import type { ObjectTable } from "./object-table.ts";
import { KernelObject } from "./object-table.ts";
import {
  type HwptObject,
  IoasObject,
  NestedHwptObject,
  type NestingViommu,
  PagingHwptObject,
  type PagingHwptOptions,
} from "./page-tables.ts";
import type { DeviceProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";
import type { VdeviceObject, VirtualizedDevice } from "./viommu.ts";

/** Page Request Group Indexes have 9 bits. */
const PAGE_REQUEST_GROUPS = 512;

/** IOMMU_NO_PASID: DMA without one. */
export const NO_PASID = 0;

/** Attaches to a page table, or replaces the one that is attached. */
type Attach = (hwpt: HwptObject) => HwptObject;

/** IOMMUFD_OBJ_DEVICE */
export class BoundDevice extends KernelObject implements VirtualizedDevice {
  readonly profile: DeviceProfile;
  readonly iommu: Iommu;
  readonly #objects: ObjectTable;
  vdevice: VdeviceObject | undefined;
  /**
   * The guest's view of the device, from the time when it was attached to a page table of that guest (struct
   * arm_smmu_vmaster).
   */
  #guest: { readonly viommu: NestingViommu; readonly virtualId: bigint } | undefined;
  /** The cache of a mock device. */
  readonly cache = new Uint32Array(CACHE_ENTRIES).fill(CACHED);
  #nextGroup = 0;
  readonly #group: DeviceGroup<BoundDevice>;

  constructor(
    { profile, iommu, group }: { profile: DeviceProfile; iommu: Iommu; group: DeviceGroup<BoundDevice> },
    objects: ObjectTable,
  ) {
    super();
    this.profile = profile;
    this.iommu = iommu;
    this.#group = group;
    this.#objects = objects;
    // VFIO holds it for as long as the device is open, so that only closing the device can end it.
    this.users = 1;
  }

  /** iommufd_device_attach(): the device, or one PASID of it. Returns the HWPT. */
  attach(ptId: number, pasid = NO_PASID): HwptObject {
    return this.#changePageTable(ptId, pasid, (hwpt) => this.#attachTo(hwpt, pasid), true);
  }

  /** iommufd_device_replace(): the same of what is attached already. */
  replace(ptId: number, pasid = NO_PASID): HwptObject {
    return this.#changePageTable(ptId, pasid, (hwpt) => this.#replace(hwpt, pasid), false);
  }

  /** The path of DMA of the device, or of one PASID of it: the attachment of its group. */
  attachedTo(pasid: number): HwptObject | undefined {
    return this.#group.attachments.get(pasid)?.hwpt;
  }

  /**
   * arm_vmaster_report_event(): reports to the guest; to nobody if the device did not belong to the guest when it was
   * attached.
   */
  report({ type, record }: FirstStageEvent): void {
    this.#guest?.viommu.report(type, record(this.#guest.virtualId));
  }

  /** A page request of the device. */
  fault(address: bigint, pasid: number, permissions: number): Fault {
    return {
      flags: pasid === NO_PASID ? 0 : IOMMU_PGFAULT_FLAGS_PASID_VALID,
      deviceId: this.id as DeviceId,
      pasid,
      groupId: this.#nextGroup++ % PAGE_REQUEST_GROUPS,
      permissions,
      address,
      length: 0,
    };
  }

  /** iommufd_device_detach(); harmless where nothing is attached. */
  detach(pasid = NO_PASID): void {
    const attachment = this.#group.attachments.get(pasid);
    if (!attachment?.devices.delete(this)) return;
    if (attachment.devices.size === 0) this.#group.attachments.delete(pasid);
    this.#commit(undefined, pasid);
    this.#unreserve(attachment.hwpt.paging.ioas, pasid);
    this.#release(attachment.hwpt, pasid);
  }

  /** arm_smmu_attach_commit_vmaster(): what the device is to the guest from now on. */
  #commit(hwpt: HwptObject | undefined, pasid: number): void {
    if (pasid !== NO_PASID) return;
    const viommu = hwpt instanceof NestedHwptObject ? hwpt.viommu : undefined;
    const virtualId = viommu?.virtualIdOf(this);
    this.#guest = viommu !== undefined && virtualId !== undefined ? { viommu, virtualId } : undefined;
  }

  /** iommufd_device_pre_destroy(): what it is to a vIOMMU goes before it. */
  override destroy(): void {
    if (this.vdevice !== undefined) this.#objects.remove(this.vdevice);
    for (const pasid of [...this.#group.attachments.keys()]) this.detach(pasid);
  }

  /** iommufd_device_change_pt() */
  #changePageTable(ptId: number, pasid: number, attach: Attach, immediate: boolean): HwptObject {
    const target = this.#objects.find(ptId);
    if (target === undefined) throw new Refusal("ENOENT");
    if (target instanceof IoasObject) return this.#attachAutomatic(target, pasid, attach, immediate);
    if (target instanceof PagingHwptObject || target instanceof NestedHwptObject) return attach(target);
    throw new Refusal("EINVAL");
  }

  /** iommufd_device_auto_get_domain(): the first automatic HWPT that takes the device, or a new one. */
  #attachAutomatic(ioas: IoasObject, pasid: number, attach: Attach, immediate: boolean): HwptObject {
    for (const hwpt of ioas.hwpts) {
      if (!hwpt.options.automatic) continue;
      try {
        return attach(hwpt);
      } catch (error) {
        if (!(error instanceof Refusal && error.code === "EINVAL")) throw error;
      }
    }
    const options = { nestParent: false, dirtyTracking: false, pasid: false, automatic: true };
    // An attachment is made before the page table is filled, a replacement after.
    if (immediate) {
      const attachment = this.#group.attachments.get(pasid);
      if (attachment !== undefined) throw new Refusal(attachment.devices.has(this) ? "EBUSY" : "EINVAL");
      this.#reserve(ioas, pasid);
      try {
        this.#checkPasid({ options }, pasid);
      } finally {
        this.#unreserve(ioas, pasid);
      }
    }
    const hwpt = new PagingHwptObject(ioas, this.iommu, options);
    this.#objects.add(hwpt);
    try {
      return attach(hwpt);
    } catch (error) {
      this.#objects.remove(hwpt);
      throw error;
    }
  }

  /** Only DMA without a PASID has reserved regions. */
  #reserve(ioas: IoasObject, pasid: number): void {
    if (pasid === NO_PASID) ioas.iopt.reserveAll(this.profile.reservedRegions, this);
  }

  #unreserve(ioas: IoasObject, pasid: number): void {
    if (pasid === NO_PASID) ioas.iopt.unreserve(this);
  }

  /** iommufd_hw_pagetable_attach() */
  #attachTo(hwpt: HwptObject, pasid: number): HwptObject {
    const attachment = this.#group.attachments.get(pasid);
    if (attachment?.devices.has(this)) throw new Refusal("EBUSY");
    if (attachment !== undefined && attachment.hwpt !== hwpt) throw new Refusal("EINVAL");
    const { ioas } = hwpt.paging;
    this.#reserve(ioas, pasid);
    try {
      if (attachment === undefined) this.#checkAttach(hwpt, pasid);
    } catch (error) {
      this.#unreserve(ioas, pasid);
      throw error;
    }
    hwpt.users++;
    if (attachment === undefined) this.#group.attachments.set(pasid, { hwpt, devices: new Set([this]) });
    else attachment.devices.add(this);
    this.#commit(hwpt, pasid);
    return hwpt;
  }

  /** iommufd_device_do_replace(): all devices of the group move together. */
  #replace(hwpt: HwptObject, pasid: number): HwptObject {
    const attachment = this.#group.attachments.get(pasid);
    if (!attachment?.devices.has(this)) throw new Refusal("EINVAL");
    const { hwpt: old, devices } = attachment;
    if (hwpt === old) return hwpt;
    const [from, to] = [old.paging.ioas, hwpt.paging.ioas];
    const unreserve = (ioas: IoasObject) => {
      for (const device of devices) device.#unreserve(ioas, pasid);
    };
    try {
      if (from !== to) for (const device of devices) device.#reserve(to, pasid);
      this.#checkAttach(hwpt, pasid);
    } catch (error) {
      // Within one address space this takes away what is reserved for the page table that stays attached. Linux does so, too:
      // docs/software-backend.md, "Mistakes of Linux".
      unreserve(to);
      throw error;
    }
    if (from !== to) unreserve(from);
    attachment.hwpt = hwpt;
    for (const device of devices) {
      hwpt.users++;
      device.#commit(hwpt, pasid);
      device.#release(old, pasid);
    }
    return hwpt;
  }

  /**
   * The questions of the driver. The driver is asked about a PASID only where the device has any
   * (__iommu_set_group_pasid()).
   */
  #checkAttach(hwpt: HwptObject, pasid: number): void {
    this.#checkPasid(hwpt, pasid);
    if (pasid !== NO_PASID && this.profile.maxPasidLog2 === 0) return;
    hwpt.checkAttach(this);
  }

  /** iommufd_hwpt_pasid_compat(), iommu_attach_device_pasid() */
  #checkPasid(hwpt: { options: Pick<PagingHwptOptions, "pasid"> }, pasid: number): void {
    if (pasid === NO_PASID) {
      const others = [...this.#group.attachments.keys()].some((attached) => attached !== NO_PASID);
      if (others && !hwpt.options.pasid) throw new Refusal("EINVAL");
      return;
    }
    if (!hwpt.options.pasid) throw new Refusal("EINVAL");
    if (this.attachedTo(NO_PASID)?.options.pasid === false) throw new Refusal("EINVAL");
    const { maxPasidLog2 } = this.profile;
    // A PCI device without PASIDs is not asked about them. A mock device has one at least, 0: dev_iommu_get_max_pasids().
    const isAsked = maxPasidLog2 > 0 || this.iommu.hwInfoType === SELFTEST.hwInfoType;
    if (isAsked && pasid >= 2 ** maxPasidLog2) throw new Refusal("EINVAL");
  }

  /** Drops an attachment; an automatic HWPT goes with its last one. */
  #release(hwpt: HwptObject, pasid: number): void {
    hwpt.users--;
    if (hwpt.faultQueue instanceof FaultQueueObject) hwpt.faultQueue.detached(this.id, pasid);
    if (hwpt instanceof PagingHwptObject && hwpt.options.automatic && hwpt.users === 0)
      this.#objects.remove(hwpt);
  }
}
