/**
 * A VFIO device of the model, one method per ioctl (drivers/vfio/device_cdev.c, drivers/vfio/vfio_main.c).
 */

import { IommufdError, invalidType } from "../../errors.ts";
import {
  type DeviceId,
  type HwptId,
  type PageTableId,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
  type VfioDeviceInfo,
  type VfioIrqInfo,
  type VfioRegionInfo,
} from "../../uapi.ts";
import type { IommufdFile, VfioDeviceFile } from "../backend.ts";
import type { BackendRegion, DescriptorFile } from "../handles.ts";
import type { SetIrqsRequest } from "../requests.ts";
import { BoundDevice, NO_PASID } from "./bound-device.ts";
import type { DeviceGroup } from "./device-group.ts";
import type { Failures } from "./failures.ts";
import type { DeviceProfile, IommuProfile } from "./profile.ts";
import { noDescriptors, Refusal } from "./refusal.ts";
import { SoftwareIommufdFile } from "./software-iommufd.ts";

/** Where vfio-pci puts region N in a device's file: at N << 40 (include/linux/vfio_pci_core.h). */
const VFIO_PCI_OFFSET_SHIFT = 40n;

/** A device of the machine: what all its open files share. */
export interface SoftwareDevice {
  readonly profile: DeviceProfile;
  readonly iommu: IommuProfile;
  /** The IOMMU group; other devices may be in it. */
  readonly group: DeviceGroup<BoundDevice>;
  /** The file through which it is bound; only one can be at a time. */
  boundTo: SoftwareVfioDeviceFile | undefined;
}

/** An open VFIO device of the model. */
export class SoftwareVfioDeviceFile implements VfioDeviceFile {
  readonly #device: SoftwareDevice;
  readonly #failures: Failures;
  #iommufd: SoftwareIommufdFile | undefined;
  #bound: BoundDevice | undefined;
  #letGo = () => {};
  #closed = false;

  constructor(device: SoftwareDevice, failures: Failures) {
    this.#device = device;
    this.#failures = failures;
  }

  /** The device as its iommufd has it; undefined where it is not bound. */
  get bound(): BoundDevice | undefined {
    return this.#bound;
  }

  fd(): number {
    throw noDescriptors();
  }

  bindIommufd(iommufd: IommufdFile): DeviceId {
    this.#assertOpen();
    if (!(iommufd instanceof SoftwareIommufdFile)) {
      throw invalidType("iommufd", "an iommufd of the software backend", iommufd);
    }
    iommufd.assertOpen();
    return this.#failures.answer("VFIO_DEVICE_BIND_IOMMUFD", {}, () => {
      // vfio_df_ioctl_bind_iommufd(), vfio_df_open(): bound once per file, open once per device.
      if (this.#bound !== undefined || this.#device.boundTo !== undefined) throw new Refusal("EINVAL");
      this.#device.group.claim(iommufd);
      this.#bound = iommufd.objects.add(new BoundDevice(this.#device, iommufd.objects));
      this.#iommufd = iommufd;
      this.#letGo = iommufd.hold();
      this.#device.boundTo = this;
      return this.#bound.id as DeviceId;
    });
  }

  async attachIommufdPt(ptId: PageTableId, pasid?: number): Promise<HwptId> {
    return this.attachIommufdPtSync(ptId, pasid);
  }

  attachIommufdPtSync(ptId: PageTableId, pasid = NO_PASID): HwptId {
    return this.#failures.answer(
      "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
      { ptId, pasid: pasid === NO_PASID ? undefined : pasid },
      () => this.#use().attach(ptId, pasid).id as HwptId,
    );
  }

  detachIommufdPt(pasid = NO_PASID): void {
    this.#failures.answer("VFIO_DEVICE_DETACH_IOMMUFD_PT", {}, () => this.#use().detach(pasid));
  }

  /** vfio_pci_ioctl_get_irq_info(); modelled devices have no interrupts: of each kind there are none. */
  getIrqInfo(index: number): VfioIrqInfo {
    return this.#failures.answer("VFIO_DEVICE_GET_IRQ_INFO", { index }, () => {
      this.#use();
      if (index === VFIO_PCI_ERR_IRQ_INDEX || index > VFIO_PCI_REQ_IRQ_INDEX) throw new Refusal("EINVAL");
      const rest =
        index === VFIO_PCI_INTX_IRQ_INDEX
          ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
          : VFIO_IRQ_INFO_NORESIZE;
      return { flags: VFIO_IRQ_INFO_EVENTFD | rest, count: 0 };
    });
  }

  /** vfio_set_irqs_validate_and_prepare() */
  setIrqs({ index, action, start, count }: SetIrqsRequest): void {
    this.#failures.answer("VFIO_DEVICE_SET_IRQS", { index, action, start, count }, () => {
      this.#use();
      throw new Refusal("EINVAL");
    });
  }

  getInfo(): VfioDeviceInfo {
    return this.#failures.answer("VFIO_DEVICE_GET_INFO", {}, () => {
      const { reset, numRegions, numIrqs } = this.#use().profile;
      return { flags: VFIO_DEVICE_FLAGS_PCI | (reset ? VFIO_DEVICE_FLAGS_RESET : 0), numRegions, numIrqs };
    });
  }

  /** Modelled devices have no regions: each is there, and empty. */
  getRegionInfo(index: number): VfioRegionInfo {
    return this.#failures.answer("VFIO_DEVICE_GET_REGION_INFO", { index }, () => {
      if (index >= this.#use().profile.numRegions) throw new Refusal("EINVAL");
      return { flags: 0, size: 0n, offset: BigInt(index) << VFIO_PCI_OFFSET_SHIFT };
    });
  }

  reset(): void {
    this.#failures.answer("VFIO_DEVICE_RESET", {}, () => {
      if (!this.#use().profile.reset) throw new Refusal("EINVAL");
    });
  }

  feature(flags: number): Uint8Array {
    return this.#refuseFeature({ flags });
  }

  /** Modelled devices have no regions that could be exported, and log nothing. */
  exportDmaBuf(regionIndex: number): DescriptorFile {
    return this.#refuseFeature({ feature: "DMA_BUF", regionIndex });
  }

  startDmaLogging(pageSize: bigint): bigint {
    return this.#refuseFeature({ feature: "DMA_LOGGING_START", pageSize });
  }

  reportDmaLogging(iova: bigint, length: bigint, pageSize: bigint): Uint8Array {
    return this.#refuseFeature({ feature: "DMA_LOGGING_REPORT", iova, length, pageSize });
  }

  #refuseFeature(request: Readonly<Record<string, unknown>>): never {
    return this.#failures.answer("VFIO_DEVICE_FEATURE", request, () => {
      this.#use();
      throw new Refusal("ENOTTY");
    });
  }

  read(position: bigint, target: Uint8Array): number {
    return this.#failures.answer("pread", { position, length: target.length }, () => this.#refuseAccess());
  }

  write(position: bigint, source: Uint8Array): number {
    return this.#failures.answer("pwrite", { position, length: source.length }, () => this.#refuseAccess());
  }

  mapRegion(position: bigint, length: bigint): BackendRegion {
    return this.#failures.answer("mmap", { position, length }, () => this.#refuseAccess());
  }

  #refuseAccess(): never {
    this.#use();
    throw new Refusal("EINVAL");
  }

  close(): void {
    this.#closed = true;
    if (this.#bound === undefined) return;
    this.#iommufd?.objects.remove(this.#bound);
    this.#device.group.release();
    this.#bound = undefined;
    this.#device.boundTo = undefined;
    this.#letGo();
  }

  /** Every call but bind needs a bound device. */
  #use(): BoundDevice {
    this.#assertOpen();
    if (this.#bound === undefined) throw new Refusal("EINVAL");
    return this.#bound;
  }

  #assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the device is closed");
  }
}
