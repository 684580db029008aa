/**
 * Devices.
 */

import type { IommufdFile, VfioDeviceFile } from "../backend/backend.ts";
import type { DeviceId, HwInfo, HwptId, VfioDeviceInfo } from "../backend/uapi.ts";
import { PageTable } from "./page-table.ts";
import { Resource } from "./resource.ts";

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
