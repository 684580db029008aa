/**
 * The real thing: /dev/iommu and /dev/vfio/devices/*, through the addon.
 */

import { release } from "node:os";
import type { DeviceUse, VfioDeviceEntry } from "../backend.ts";
import type { BackendMemory, EventFd } from "../handles.ts";
import type { RawBackend, RawIommufdFile, RawVfioDeviceFile } from "../raw.ts";
import type { MemoryRequest } from "../requests.ts";
import { type Addon, loadAddon } from "./addon.ts";
import { check } from "./check.ts";
import { deviceUse } from "./device-use.ts";
import { KernelEventFd } from "./kernel-event-file.ts";
import { kernelIommufd } from "./kernel-iommufd.ts";
import { KernelMemory } from "./kernel-memory.ts";
import { kernelVfioDevice } from "./kernel-vfio-device.ts";
import { findVfioDevice, listVfioDevices } from "./vfio-sysfs.ts";

/** Where the kernel backend finds the machine; only tests have a reason to point it elsewhere. */
export interface KernelBackendOptions {
  /** The iommufd character device. Default "/dev/iommu". */
  iommuPath?: string;
  /** The directory that holds `sys` and `dev`. Default "/". */
  root?: string;
}

/** A backend that issues the real ioctls. */
export class KernelBackend implements RawBackend {
  readonly name = "kernel";
  readonly profile = undefined;
  readonly memlock = undefined;
  readonly kernelRelease = release();
  readonly pageSize: number;
  readonly #addon: Addon;
  readonly #iommuPath: string;
  readonly #root: string;

  /** @throws Error where the addon cannot be loaded */
  constructor(options: KernelBackendOptions = {}) {
    this.#addon = loadAddon();
    this.#iommuPath = options.iommuPath ?? "/dev/iommu";
    this.#root = options.root ?? "/";
    this.pageSize = this.#addon.pageSize;
  }

  openIommufd(): RawIommufdFile {
    const path = this.#iommuPath;
    return kernelIommufd(check(this.#addon.openIommufd(path), "open", { path }));
  }

  openIommufdFd(fd: number): RawIommufdFile {
    return kernelIommufd(check(this.#addon.openIommufdFd(fd), "fcntl", { fd }));
  }

  vfioDevices(): string[] {
    return listVfioDevices(this.#root);
  }

  findVfioDevice(bdf: string): VfioDeviceEntry {
    return findVfioDevice(this.#root, bdf);
  }

  deviceUse(bdf: string): DeviceUse {
    return deviceUse(this.#root, bdf);
  }

  openVfioDevice(cdev: string): RawVfioDeviceFile {
    return kernelVfioDevice(check(this.#addon.openVfioDevice(cdev), "open", { path: cdev }));
  }

  openVfioDeviceFd(fd: number): RawVfioDeviceFile {
    return kernelVfioDevice(check(this.#addon.openVfioDeviceFd(fd), "fcntl", { fd }));
  }

  createEventFd(): EventFd {
    return new KernelEventFd(check(this.#addon.createEventFd(), "eventfd2"));
  }

  allocMemory({ length, pageSize, anonymous }: MemoryRequest): BackendMemory {
    const outcome = this.#addon.allocMemory(length, pageSize, anonymous);
    const native = check(outcome, anonymous ? "mmap" : "memfd_create", { length, pageSize });
    return new KernelMemory(native, length);
  }
}
