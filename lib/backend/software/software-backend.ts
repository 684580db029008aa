/**
 * A model of the kernel for machines without the hardware. It never touches the machine it runs on.
 *
 * docs/software-backend.md says what is modelled and what is not; the conformance suite holds it against a real
 * kernel.
 */

import { IommufdError, systemError } from "../../errors.ts";
import type {
  Backend,
  BackendMemory,
  EventFd,
  IommufdFile,
  MemoryRequest,
  VfioDeviceEntry,
  VfioDeviceFile,
} from "../backend.ts";
import { SoftwareEventFd } from "./event-source.ts";
import type { DeviceProfile, Profile } from "./profile.ts";
import { noDescriptors } from "./refusal.ts";
import { SoftwareIommufdFile } from "./software-iommufd.ts";
import { SoftwareMemory } from "./software-memory.ts";
import { type SoftwareDevice, SoftwareVfioDeviceFile } from "./software-vfio-device.ts";

/** HPAGE_SIZE: memory of this size and more starts at a multiple of it. */
const HUGE_PAGE = 1n << 21n;

/** A backend that answers as the kernel would on the machine of a profile. */
export class SoftwareBackend implements Backend {
  readonly name = "software";
  readonly pageSize: number;
  readonly #profile: Profile;
  readonly #devices: ReadonlyMap<string, SoftwareDevice>;
  #nextAddress = 0x7f00_0000_0000n;

  constructor(profile: Profile) {
    this.#profile = profile;
    this.pageSize = profile.pageSize;
    this.#devices = new Map(
      profile.devices.map((device, index) => [`/dev/vfio/devices/vfio${index}`, this.#deviceOf(device)]),
    );
  }

  openIommufd(): IommufdFile {
    return new SoftwareIommufdFile(this.pageSize);
  }

  openIommufdFd(): IommufdFile {
    throw noDescriptors();
  }

  vfioDevices(): string[] {
    return this.#profile.devices.map(({ bdf }) => bdf).sort();
  }

  findVfioDevice(bdf: string): VfioDeviceEntry {
    for (const [cdev, { profile }] of this.#devices) {
      if (profile.bdf === bdf) return { bdf, cdev };
    }
    const there = this.vfioDevices().join(", ") || "none";
    throw new IommufdError(
      "ERR_IOMMUFD_NO_DEVICE",
      `${bdf}: no such device in profile ${this.#profile.name} (there: ${there})`,
    );
  }

  openVfioDevice(cdev: string): VfioDeviceFile {
    const device = this.#devices.get(cdev);
    if (device === undefined) throw systemError("ENOENT", "open", { path: cdev });
    return new SoftwareVfioDeviceFile(device);
  }

  openVfioDeviceFd(): VfioDeviceFile {
    throw noDescriptors();
  }

  createEventFd(): EventFd {
    return new SoftwareEventFd();
  }

  allocMemory({ length, pageSize, anonymous }: MemoryRequest): BackendMemory {
    const usual = length >= HUGE_PAGE ? HUGE_PAGE : BigInt(this.pageSize);
    const alignment = pageSize > usual ? pageSize : usual;
    const address = (this.#nextAddress + alignment - 1n) & -alignment;
    this.#nextAddress = address + length;
    return new SoftwareMemory(address, length, anonymous);
  }

  #deviceOf(profile: DeviceProfile): SoftwareDevice {
    const iommu = this.#profile.iommus[profile.iommu];
    if (iommu === undefined) throw new Error(`profile ${this.#profile.name} was not validated`);
    return { profile, iommu, boundTo: undefined };
  }
}
