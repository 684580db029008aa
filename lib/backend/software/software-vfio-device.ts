/**
 * A VFIO device of the model, one method per ioctl (drivers/vfio/device_cdev.c, drivers/vfio/vfio_main.c).
 */

import { IommufdError, invalidType, type LinuxErrorCode } from "../../errors.ts";
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
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
} from "../../uapi.ts";
import type { Errno, RawIommufdFile, RawVfioDeviceFile } from "../raw.ts";
import type { SetIrqsRequest } from "../requests.ts";
import { BoundDevice } from "./bound-device.ts";
import type { DeviceGroup } from "./device-group.ts";
import { SoftwareEventFd } from "./event-file.ts";
import type { Iommu } from "./iommus/iommu.ts";
import type { KernelRelease } from "./kernel-release.ts";
import type { DeviceProfile } from "./profile.ts";
import { answer, noDescriptors, Refusal } from "./refusal.ts";
import { SoftwareIommufdFile } from "./software-iommufd.ts";

/** Where vfio-pci puts region N in a device's file: at N << 40 (include/linux/vfio_pci_core.h). */
const VFIO_PCI_OFFSET_SHIFT = 40n;

const INT_MAX = 2 ** 31 - 1;

/** vfio_pci_get_irq_count() of a modelled device. */
function irqCount(index: number): number {
  return index === VFIO_PCI_REQ_IRQ_INDEX ? 1 : 0;
}

/** A device of the machine: what all its open files share. */
export interface SoftwareDevice {
  readonly profile: DeviceProfile;
  readonly iommu: Iommu;
  /** The IOMMU group; other devices may be in it. */
  readonly group: DeviceGroup<BoundDevice>;
  /** The file through which it is bound; only one can be at a time. */
  boundTo: SoftwareVfioDeviceFile | undefined;
  /** Release of the kernel. */
  readonly release: KernelRelease;
}

/** An open VFIO device of the model. */
export class SoftwareVfioDeviceFile implements RawVfioDeviceFile {
  readonly #device: SoftwareDevice;
  #iommufd: SoftwareIommufdFile | undefined;
  #bound: BoundDevice | undefined;
  #letGo = () => {};
  /** The attachments: PASIDs, and undefined for the device itself. The kernel's IDA has no more than INT_MAX. */
  readonly #attached = new Set<number | undefined>();
  /** The eventfd that is signalled when the device is asked for back. */
  #deviceRequest: SoftwareEventFd | undefined;
  #closed = false;

  constructor(device: SoftwareDevice) {
    this.#device = device;
  }

  /** The device as its iommufd has it; undefined where it is not bound. */
  get bound(): BoundDevice | undefined {
    return this.#bound;
  }

  fd(): number {
    throw noDescriptors();
  }

  bindIommufd(iommufd: RawIommufdFile) {
    this.#assertOpen();
    if (!(iommufd instanceof SoftwareIommufdFile)) {
      throw invalidType("iommufd", "an iommufd of the software backend", iommufd);
    }
    iommufd.assertOpen();
    return answer(() => {
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

  /** vfio_iommufd_physical_attach_ioas(), vfio_iommufd_physical_pasid_attach_ioas() */
  attachIommufdPtSync(ptId: PageTableId, pasid?: number) {
    return this.#answer((bound) => {
      this.#checkPasid(pasid);
      const attached = this.#attached.has(pasid);
      if (pasid !== undefined && pasid > INT_MAX && !attached) throw new Refusal("ENOSPC");
      const hwpt = attached ? bound.replace(ptId, pasid) : bound.attach(ptId, pasid);
      this.#attached.add(pasid);
      return hwpt.id as HwptId;
    });
  }

  /** vfio_iommufd_physical_detach_ioas(), vfio_iommufd_physical_pasid_detach_ioas(): harmless where nothing is attached. */
  detachIommufdPt(pasid?: number) {
    return this.#answer((bound) => {
      this.#checkPasid(pasid);
      if (this.#attached.delete(pasid)) bound.detach(pasid);
    });
  }

  /** vfio_pci_ioctl_get_irq_info(); modelled devices have no interrupts but the one that asks for the device back. */
  getIrqInfo(index: number) {
    return this.#answer(() => {
      if (index === VFIO_PCI_ERR_IRQ_INDEX || index > VFIO_PCI_REQ_IRQ_INDEX) throw new Refusal("EINVAL");
      const rest =
        index === VFIO_PCI_INTX_IRQ_INDEX
          ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
          : VFIO_IRQ_INFO_NORESIZE;
      return { flags: VFIO_IRQ_INFO_EVENTFD | rest, count: irqCount(index) };
    });
  }

  /** vfio_set_irqs_validate_and_prepare(), vfio_pci_set_irqs_ioctl() */
  setIrqs({ index, action, start, count, eventFds }: SetIrqsRequest) {
    return this.#answer(() => {
      if (start >= irqCount(index) || start + count > irqCount(index)) throw new Refusal("EINVAL");
      if (action !== VFIO_IRQ_SET_ACTION_TRIGGER) throw new Refusal("ENOTTY");
      // vfio_pci_set_ctx_trigger_single()
      const [given] = eventFds;
      if (given !== undefined) {
        if (!(given instanceof SoftwareEventFd))
          throw invalidType("eventFds", "eventfds of the software backend", given);
        this.#deviceRequest = given;
        return;
      }
      if (this.#deviceRequest === undefined) throw new Refusal("EINVAL");
      if (count > 0) this.#deviceRequest.signal();
      else this.#deviceRequest = undefined;
    });
  }

  getInfo() {
    return this.#answer(({ profile: { reset, numRegions, numIrqs } }) => {
      return { flags: VFIO_DEVICE_FLAGS_PCI | (reset ? VFIO_DEVICE_FLAGS_RESET : 0), numRegions, numIrqs };
    });
  }

  /** Modelled devices have no regions: each is there, and empty. */
  getRegionInfo(index: number) {
    return this.#answer(({ profile }) => {
      // No modelled device is for VGA.
      if (index >= profile.numRegions || index === VFIO_PCI_VGA_REGION_INDEX) throw new Refusal("EINVAL");
      return { flags: 0, size: 0n, offset: BigInt(index) << VFIO_PCI_OFFSET_SHIFT };
    });
  }

  reset() {
    return this.#answer(({ profile }) => {
      if (!profile.reset) throw new Refusal("EINVAL");
    });
  }

  /** Modelled devices have no regions that could be exported, and log nothing. */
  feature() {
    return this.#refuse("ENOTTY");
  }

  exportDmaBuf() {
    return this.#refuse("ENOTTY");
  }

  startDmaLogging() {
    return this.#refuse("ENOTTY");
  }

  reportDmaLogging() {
    return this.#refuse("ENOTTY");
  }

  read() {
    return this.#refuse("EINVAL");
  }

  write() {
    return this.#refuse("EINVAL");
  }

  mapRegion() {
    return this.#refuse("EINVAL");
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

  /** The answer of a call; every call but bind needs a bound device. */
  #answer<Result>(body: (bound: BoundDevice) => Result): Result | Errno {
    this.#assertOpen();
    return answer(() => {
      if (this.#bound === undefined) throw new Refusal("EINVAL");
      return body(this.#bound);
    });
  }

  #refuse(code: LinuxErrorCode): Errno {
    return this.#answer(() => {
      throw new Refusal(code);
    });
  }

  /** VFIO_DEVICE_ATTACH_PASID, VFIO_DEVICE_DETACH_PASID: flags. */
  #checkPasid(pasid: number | undefined): void {
    if (pasid !== undefined && !this.#device.release.takes("pasid")) throw new Refusal("EINVAL");
  }

  #assertOpen(): void {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the device is closed");
  }
}
