/**
 * A model of the kernel for machines without the hardware. It never touches the machine it runs on.
 *
 * docs/software-backend.md says what is modelled and what is not; the conformance suite holds it against a real
 * kernel.
 */

import { checkOptions, checkU32, checkU64, knownOptions } from "../../arguments.ts";
import { IommufdError, invalidType, systemError } from "../../errors.ts";
import type { VfioDeviceEntry } from "../backend.ts";
import type { BackendMemory, EventFd } from "../handles.ts";
import type { RawBackend, RawIommufdFile, RawVfioDeviceFile } from "../raw.ts";
import type { MemoryRequest } from "../requests.ts";
import type { BoundDevice } from "./bound-device.ts";
import { DeviceGroup } from "./device-group.ts";
import { transfer } from "./dma.ts";
import { SoftwareEventFd } from "./event-file.ts";
import type { Iommu } from "./iommus/iommu.ts";
import { makeIommu } from "./iommus/make-iommu.ts";
import { KernelRelease } from "./kernel-release.ts";
import { type MemoryLimits, memoryLimits } from "./locked-memory.ts";
import type { DeviceProfile, Profile } from "./profile.ts";
import { hugePageSize } from "./ranges.ts";
import { noDescriptors } from "./refusal.ts";
import { SoftwareIommufdFile } from "./software-iommufd.ts";
import { SoftwareMemory } from "./software-memory.ts";
import { type SoftwareDevice, SoftwareVfioDeviceFile } from "./software-vfio-device.ts";

/** Which DMA. */
export interface DmaOptions {
  /** With that Process Address Space ID. Default: without one. */
  pasid?: number | undefined;
}

const DMA_OPTIONS = knownOptions<DmaOptions>({ pasid: "other" });

/** A backend that answers as the kernel would on the machine of a profile. */
export class SoftwareBackend implements RawBackend {
  readonly name = "software";
  readonly profile: string;
  readonly memlock: bigint | undefined;
  readonly kernelRelease: string;
  readonly pageSize: number;
  readonly #profile: Profile;
  readonly #iommus: ReadonlyMap<string, Iommu>;
  readonly #devices: ReadonlyMap<string, SoftwareDevice>;
  readonly #limits: MemoryLimits;
  readonly #release: KernelRelease;
  /** The IOMMU groups that the profile names. */
  readonly #groups = new Map<number, DeviceGroup<BoundDevice>>();
  #nextAddress = 0x7f00_0000_0000n;

  constructor(profile: Profile) {
    this.#profile = profile;
    this.profile = profile.name;
    this.memlock = profile.memlock;
    this.pageSize = profile.pageSize;
    this.#limits = memoryLimits(profile.memlock);
    this.#release = new KernelRelease(profile.kernelRelease ?? undefined);
    this.kernelRelease = this.#release.name;
    this.#iommus = new Map(Object.entries(profile.iommus).map(([name, iommu]) => [name, makeIommu(iommu)]));
    this.#devices = new Map(
      profile.devices.map((device, index) => [`/dev/vfio/devices/vfio${index}`, this.#deviceOf(device)]),
    );
  }

  openIommufd(): RawIommufdFile {
    return new SoftwareIommufdFile(this.pageSize, this.#limits, this.#release);
  }

  openIommufdFd(): RawIommufdFile {
    throw noDescriptors();
  }

  vfioDevices(): string[] {
    return this.#profile.devices.map(({ bdf }) => bdf).sort();
  }

  /** The memory and files of a modelled process are in this process. */
  deviceUse(): undefined {
    return undefined;
  }

  findVfioDevice(bdf: string): VfioDeviceEntry {
    for (const [cdev, { profile }] of this.#devices) {
      if (profile.bdf === bdf) return { bdf, cdev, group: profile.group };
    }
    const there = this.vfioDevices().join(", ") || "none";
    throw new IommufdError(
      "ERR_IOMMUFD_NO_DEVICE",
      `${bdf}: no such device in profile ${this.#profile.name} (there: ${there})`,
    );
  }

  openVfioDevice(cdev: string): RawVfioDeviceFile {
    const device = this.#devices.get(cdev);
    if (device === undefined) throw systemError("ENOENT", "open", { path: cdev });
    return new SoftwareVfioDeviceFile(device);
  }

  openVfioDeviceFd(): RawVfioDeviceFile {
    throw noDescriptors();
  }

  createEventFd(): EventFd {
    return new SoftwareEventFd();
  }

  allocMemory({ length, pageSize, anonymous }: MemoryRequest): BackendMemory {
    // Memory of at least a huge page starts at a multiple of one.
    const hugePage = hugePageSize(BigInt(this.pageSize));
    const usual = length >= hugePage ? hugePage : BigInt(this.pageSize);
    const alignment = pageSize > usual ? pageSize : usual;
    const address = (this.#nextAddress + alignment - 1n) & -alignment;
    this.#nextAddress = address + length;
    return new SoftwareMemory(address, length, anonymous);
  }

  /** {@link SoftwareMachine.dmaRead} */
  async dmaRead(bdf: string, iova: bigint, length: number, options: DmaOptions = {}): Promise<Uint8Array> {
    const { pasid } = checkOptions(options, DMA_OPTIONS);
    const bytes = new Uint8Array(checkU32(length, "length"));
    await transfer(this.#boundDevice(bdf), "read", checkU64(iova, "iova"), bytes, pasid);
    return bytes;
  }

  /** {@link SoftwareMachine.dmaWrite} */
  async dmaWrite(bdf: string, iova: bigint, bytes: Uint8Array, options: DmaOptions = {}): Promise<void> {
    const { pasid } = checkOptions(options, DMA_OPTIONS);
    if (!(bytes instanceof Uint8Array)) throw invalidType("bytes", "a Uint8Array", bytes);
    await transfer(this.#boundDevice(bdf), "write", checkU64(iova, "iova"), bytes, pasid);
  }

  /** How much memory is pinned, in bytes. */
  get pinned(): bigint {
    return this.#limits.user.pinned + this.#limits.process.pinned;
  }

  #boundDevice(bdf: string): BoundDevice {
    const { cdev } = this.findVfioDevice(bdf);
    const bound = this.#devices.get(cdev)?.boundTo?.bound;
    if (bound !== undefined) return bound;
    throw new IommufdError("ERR_IOMMUFD_NO_DEVICE", `${bdf}: no program has opened it`);
  }

  #deviceOf(profile: DeviceProfile): SoftwareDevice {
    const iommu = this.#iommus.get(profile.iommu);
    if (iommu === undefined) throw new Error(`profile ${this.#profile.name} was not validated`);
    const groups = this.#groups;
    const group = (profile.group === undefined ? undefined : groups.get(profile.group)) ?? new DeviceGroup();
    if (profile.group !== undefined) groups.set(profile.group, group);
    return { profile, iommu, group, release: this.#release, boundTo: undefined };
  }
}
