/** An open VFIO device: one method per ioctl. */

import { invalidType } from "../../errors.ts";
import type {
  DeviceId,
  HwptId,
  PageTableId,
  VfioDeviceInfo,
  VfioIrqInfo,
  VfioRegionInfo,
} from "../../uapi.ts";
import type { IommufdFile, VfioDeviceFile } from "../backend.ts";
import type { BackendRegion, DescriptorFile } from "../handles.ts";
import type { SetIrqsRequest } from "../requests.ts";
import type { NativeVfioDeviceFile } from "./addon.ts";
import { check } from "./check.ts";
import { KernelEventFd } from "./kernel-event-file.ts";
import { KernelIommufdFile } from "./kernel-iommufd.ts";
import { KernelRegion } from "./kernel-region.ts";

/** A device of the kernel backend. */
export class KernelVfioDeviceFile implements VfioDeviceFile {
  readonly #native: NativeVfioDeviceFile;

  constructor(native: NativeVfioDeviceFile) {
    this.#native = native;
  }

  fd(): number {
    return this.#native.fd();
  }

  bindIommufd(iommufd: IommufdFile): DeviceId {
    if (!(iommufd instanceof KernelIommufdFile)) {
      throw invalidType("iommufd", "an iommufd of the kernel backend", iommufd);
    }
    return check(this.#native.bindIommufd(iommufd.native), "VFIO_DEVICE_BIND_IOMMUFD");
  }

  async attachIommufdPt(ptId: PageTableId, pasid?: number): Promise<HwptId> {
    const outcome = await this.#native.attachIommufdPt(ptId, pasid);
    return check(outcome, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", { ptId, pasid });
  }

  attachIommufdPtSync(ptId: PageTableId, pasid?: number): HwptId {
    const outcome = this.#native.attachIommufdPtSync(ptId, pasid);
    return check(outcome, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", { ptId, pasid });
  }

  detachIommufdPt(pasid?: number): void {
    check(this.#native.detachIommufdPt(pasid), "VFIO_DEVICE_DETACH_IOMMUFD_PT", { pasid });
  }

  getIrqInfo(index: number): VfioIrqInfo {
    return check(this.#native.getIrqInfo(index), "VFIO_DEVICE_GET_IRQ_INFO", { index });
  }

  setIrqs({ index, action, start, count, eventFds }: SetIrqsRequest): void {
    const files = eventFds.map((eventFd) => {
      if (eventFd instanceof KernelEventFd) return eventFd.native;
      throw invalidType("eventFds", "eventfds of the kernel backend", eventFd);
    });
    const outcome = this.#native.setIrqs(index, action, start, count, files);
    check(outcome, "VFIO_DEVICE_SET_IRQS", { index, action, start, count });
  }

  getInfo(): VfioDeviceInfo {
    return check(this.#native.getInfo(), "VFIO_DEVICE_GET_INFO");
  }

  getRegionInfo(index: number): VfioRegionInfo {
    return check(this.#native.getRegionInfo(index), "VFIO_DEVICE_GET_REGION_INFO", { index });
  }

  reset(): void {
    check(this.#native.reset(), "VFIO_DEVICE_RESET");
  }

  feature(flags: number, data: Uint8Array): Uint8Array {
    return check(this.#native.feature(flags, data), "VFIO_DEVICE_FEATURE", { flags });
  }

  exportDmaBuf(regionIndex: number, ranges: BigUint64Array): DescriptorFile {
    const outcome = this.#native.exportDmaBuf(regionIndex, ranges);
    return check(outcome, "VFIO_DEVICE_FEATURE", { feature: "DMA_BUF", regionIndex });
  }

  startDmaLogging(pageSize: bigint, ranges: BigUint64Array): bigint {
    const outcome = this.#native.startDmaLogging(pageSize, ranges);
    return check(outcome, "VFIO_DEVICE_FEATURE", { feature: "DMA_LOGGING_START", pageSize });
  }

  reportDmaLogging(iova: bigint, length: bigint, pageSize: bigint): Uint8Array {
    const outcome = this.#native.reportDmaLogging(iova, length, pageSize);
    return check(outcome, "VFIO_DEVICE_FEATURE", { feature: "DMA_LOGGING_REPORT", iova, length, pageSize });
  }

  read(position: bigint, target: Uint8Array): number {
    return check(this.#native.read(position, target), "pread", { position, length: target.length });
  }

  write(position: bigint, source: Uint8Array): number {
    return check(this.#native.write(position, source), "pwrite", { position, length: source.length });
  }

  mapRegion(position: bigint, length: bigint, writable: boolean): BackendRegion {
    const outcome = this.#native.mapRegion(position, length, writable);
    return new KernelRegion(check(outcome, "mmap", { position, length }));
  }

  close(): void {
    this.#native.close();
  }
}
