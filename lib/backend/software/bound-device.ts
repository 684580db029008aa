/**
 * A device bound to an iommufd, and its attachment (drivers/iommu/iommufd/device.c).
 */

import type { ObjectTable } from "./object-table.ts";
import { KernelObject } from "./object-table.ts";
import { type HwptObject, IoasObject, NestedHwptObject, PagingHwptObject } from "./page-tables.ts";
import type { DeviceProfile, IommuProfile } from "./profile.ts";
import { Refusal } from "./refusal.ts";

/** IOMMUFD_OBJ_DEVICE */
export class BoundDevice extends KernelObject {
  readonly profile: DeviceProfile;
  readonly iommu: IommuProfile;
  readonly #objects: ObjectTable;
  #attached: HwptObject | undefined;

  constructor(profile: DeviceProfile, iommu: IommuProfile, objects: ObjectTable) {
    super();
    this.profile = profile;
    this.iommu = iommu;
    this.#objects = objects;
    // VFIO holds it for as long as the device is open, so that only closing the device can end it.
    this.users = 1;
  }

  /** iommufd_device_attach(), or iommufd_device_replace() where it is attached already. Returns the HWPT. */
  attach(ptId: number): HwptObject {
    const target = this.#objects.find(ptId);
    if (target === undefined) throw new Refusal("ENOENT");
    if (target instanceof IoasObject) return this.#attachAutomatic(target);
    if (target instanceof PagingHwptObject || target instanceof NestedHwptObject)
      return this.#attachTo(target);
    throw new Refusal("EINVAL");
  }

  /** iommufd_device_detach(); harmless where nothing is attached. */
  detach(): void {
    const hwpt = this.#attached;
    if (hwpt === undefined) return;
    this.#attached = undefined;
    hwpt.paging.ioas.space.unreserve(this);
    this.#release(hwpt);
  }

  override destroy(): void {
    this.detach();
  }

  /** iommufd_device_auto_get_domain(): the first automatic HWPT that takes the device, or a new one. */
  #attachAutomatic(ioas: IoasObject): HwptObject {
    for (const hwpt of ioas.hwpts) {
      if (!hwpt.options.automatic) continue;
      try {
        return this.#attachTo(hwpt);
      } catch (error) {
        if (!(error instanceof Refusal && error.code === "EINVAL")) throw error;
      }
    }
    const hwpt = new PagingHwptObject(ioas, this.iommu, {
      nestParent: false,
      dirtyTracking: false,
      automatic: true,
    });
    this.#objects.add(hwpt);
    try {
      return this.#attachTo(hwpt);
    } catch (error) {
      this.#objects.remove(hwpt);
      throw error;
    }
  }

  #attachTo(hwpt: HwptObject): HwptObject {
    const old = this.#attached;
    if (hwpt === old) return hwpt;
    const space = hwpt.paging.ioas.space;
    const moves = old?.paging.ioas.space !== space;
    if (moves) space.reserveAll(this.profile.reservedRegions, this);
    try {
      hwpt.checkCompatible(this.iommu);
    } catch (error) {
      if (moves) space.unreserve(this);
      throw error;
    }
    hwpt.users++;
    this.#attached = hwpt;
    if (old !== undefined) {
      if (moves) old.paging.ioas.space.unreserve(this);
      this.#release(old);
    }
    return hwpt;
  }

  /** Drops an attachment; an automatic HWPT goes with its last one. */
  #release(hwpt: HwptObject): void {
    hwpt.users--;
    if (hwpt instanceof PagingHwptObject && hwpt.options.automatic && hwpt.users === 0)
      this.#objects.remove(hwpt);
  }
}
