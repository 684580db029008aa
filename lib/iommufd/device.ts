/**
 * Devices.
 */

import { checkU32 } from "../arguments.ts";
import type { IommufdFile, VfioDeviceFile } from "../backend/backend.ts";
import {
  type DeviceId,
  type HwInfo,
  type HwptId,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  type VfioDeviceInfo,
} from "../backend/uapi.ts";
import { invalidType, isSystemError, outOfRange } from "../errors.ts";
import { PageTable } from "./page-table.ts";
import { Region } from "./region.ts";
import { Resource } from "./resource.ts";

const ACCESS = { get: VFIO_DEVICE_FEATURE_GET, set: VFIO_DEVICE_FEATURE_SET } as const;

/** Room for the vendor's hardware information, in bytes; the largest structure so far has 40. */
const HW_INFO_CAPACITY = 256;

/**
 * A VFIO device, opened and bound to an iommufd. While it is bound, no other program can have it; binding and
 * closing reset it, where it can be reset. Open one with {@link Iommufd.openDevice}.
 */
export class Device extends Resource {
  /** What to call it: its PCI address, "0000:6a:01.0"; the path or descriptor where it was opened by that. */
  readonly name: string;
  /** Its object id within the iommufd. */
  readonly id: DeviceId;
  readonly #iommufd: IommufdFile;
  readonly #file: VfioDeviceFile;
  #attachedTo: PageTable | undefined;

  /** @internal Takes over the file, and closes it where it cannot be bound. */
  constructor(file: VfioDeviceFile, iommufd: IommufdFile, parent: Resource, name: string) {
    let id: DeviceId;
    try {
      id = file.bindIommufd(iommufd);
    } catch (error) {
      file.close();
      throw error;
    }
    super(parent);
    this.name = name;
    this.id = id;
    this.#iommufd = iommufd;
    this.#file = file;
  }

  /**
   * The descriptor of its character device, to hand to another program. It stays this object's to close.
   *
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: on the software backend
   */
  get fd(): number {
    this.assertOpen();
    return this.#file.fd();
  }

  /** What it is attached to. */
  get attachedTo(): PageTable | undefined {
    return this.#attachedTo;
  }

  /** Asks what its IOMMU is (IOMMU_GET_HW_INFO); `decodeHwInfo()` explains the answer. */
  hwInfo(): HwInfo {
    this.assertOpen();
    return this.#iommufd.getHwInfo(this.id, HW_INFO_CAPACITY);
  }

  /** Asks what the device is (VFIO_DEVICE_GET_INFO). */
  info(): VfioDeviceInfo {
    this.assertOpen();
    return this.#file.getInfo();
  }

  /**
   * A region of the device (VFIO_DEVICE_GET_REGION_INFO).
   *
   * @param index VFIO_PCI_BAR0_REGION_INDEX to 5 for its BARs, VFIO_PCI_ROM_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX
   * @throws SystemError EINVAL: there is none
   */
  region(index: number): Region {
    this.assertOpen();
    return new Region(this.#file, this, checkU32(index, "index"));
  }

  /**
   * Resets the device (VFIO_DEVICE_RESET).
   *
   * @throws SystemError EINVAL: it cannot be reset
   */
  reset(): void {
    this.assertOpen();
    this.#file.reset();
  }

  /**
   * Whether a feature can be read, or set (VFIO_DEVICE_FEATURE with PROBE).
   *
   * @param feature VFIO_DEVICE_FEATURE_*, 16 bits
   */
  hasFeature(feature: number, access: "get" | "set"): boolean {
    try {
      this.#feature(feature, VFIO_DEVICE_FEATURE_PROBE | ACCESS[access], new Uint8Array(0));
      return true;
    } catch (error) {
      if (isSystemError(error, "ENOTTY", "EINVAL")) return false;
      throw error;
    }
  }

  /**
   * Reads a feature.
   *
   * @param data what the feature's structure has to hold before the call; its length is that of the structure
   * @throws SystemError ENOTTY: there is no such feature; EINVAL: it cannot be read, or not with that length
   */
  getFeature(feature: number, data: Uint8Array): Uint8Array {
    return this.#feature(feature, VFIO_DEVICE_FEATURE_GET, data);
  }

  /** Sets a feature. Throws as {@link getFeature} does. */
  setFeature(feature: number, data: Uint8Array): void {
    this.#feature(feature, VFIO_DEVICE_FEATURE_SET, data);
  }

  /**
   * Attaches the device: from now on its DMA goes through that page table (VFIO_DEVICE_ATTACH_IOMMUFD_PT). To an
   * {@link Ioas}, the kernel finds or makes a HWPT for it. What it was attached to before is replaced.
   *
   * @returns the id of the HWPT
   * @throws SystemError EINVAL: the HWPT does not fit the IOMMU of this device; EADDRINUSE: something is mapped
   *   in a range that the device reserves
   */
  async attach(target: PageTable): Promise<HwptId> {
    this.assertOpen();
    const { id } = this.checkPeer(target, PageTable, "target");
    return this.#attached(target, await this.#file.attachIommufdPt(id));
  }

  /** {@link attach}, on this thread. */
  attachSync(target: PageTable): HwptId {
    this.assertOpen();
    const { id } = this.checkPeer(target, PageTable, "target");
    return this.#attached(target, this.#file.attachIommufdPtSync(id));
  }

  /** Detaches it: from now on its DMA is blocked. Harmless where nothing is attached. */
  detach(): void {
    this.assertOpen();
    this.#file.detachIommufdPt();
    this.#forgetAttachment();
  }

  #feature(feature: number, flags: number, data: Uint8Array): Uint8Array {
    this.assertOpen();
    if (checkU32(feature, "feature") > 0xffff)
      throw outOfRange("feature", "an integer from 0 to 65535", feature);
    if (!(data instanceof Uint8Array)) throw invalidType("data", "a Uint8Array", data);
    return this.#file.feature(feature | flags, data);
  }

  /** The kernel detaches and unbinds a device when its descriptor is closed. */
  protected override release(): void {
    this.#file.close();
    this.#forgetAttachment();
  }

  #attached(target: PageTable, id: HwptId): HwptId {
    this.#forgetAttachment();
    this.#attachedTo = target;
    target.attached(this);
    return id;
  }

  #forgetAttachment(): void {
    this.#attachedTo?.detached(this);
    this.#attachedTo = undefined;
  }
}
