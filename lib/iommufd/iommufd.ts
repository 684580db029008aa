/**
 * An iommufd: the way in. Everything else is made from it.
 */

import { checkU64 } from "../arguments.ts";
import type { Backend, BackendName, IommufdFile } from "../backend/backend.ts";
import { normalizeBdf } from "../backend/bdf.ts";
import { type BackendOptions, type SelectedBackend, selectBackend } from "../backend/select.ts";
import { outOfRange } from "../errors.ts";
import { Device } from "./device.ts";
import { DmaMemory } from "./dma-memory.ts";
import { Ioas } from "./ioas.ts";
import { Resource } from "./resource.ts";

/**
 * An open iommufd. Closing it closes everything made from it. Calls that are running end by themselves, and the
 * kernel lets go of everything with the last of them.
 *
 * ```ts
 * using iommufd = Iommufd.open();
 * ```
 */
export class Iommufd extends Resource {
  readonly #backend: Backend;
  readonly #file: IommufdFile;
  /** Why this backend was chosen. */
  readonly backendReason: string;

  /** @internal */
  constructor({ backend, reason }: SelectedBackend) {
    super();
    this.#backend = backend;
    this.backendReason = reason;
    this.#file = backend.openIommufd();
  }

  /**
   * Opens one.
   *
   * @param where which backend; or one that was selected before, so that several iommufds share one modelled machine
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: the kernel backend was asked for and is not there;
   *   ERR_IOMMUFD_INPUT: the profile cannot be read
   * @throws SystemError of `open`
   */
  static open(where: BackendOptions | SelectedBackend = {}): Iommufd {
    return new Iommufd("reason" in where ? where : selectBackend(where));
  }

  /** Which backend it is on. */
  get backend(): BackendName {
    return this.#backend.name;
  }

  /** Size of the pages that memory is made of, in bytes. */
  get pageSize(): number {
    return this.#backend.pageSize;
  }

  /** The PCI addresses of the devices that can be opened: those bound to vfio-pci. */
  devices(): string[] {
    return this.#backend.vfioDevices();
  }

  /** Path of the character device of one, without opening it. Throws as {@link openDevice} does. */
  cdevOf(bdf: string): string {
    return this.#backend.findVfioDevice(normalizeBdf(bdf)).cdev;
  }

  /**
   * Opens a device and binds it (VFIO_DEVICE_BIND_IOMMUFD).
   *
   * @param bdf its PCI address; the domain may be left out: "6a:01.0"
   * @throws IommufdError ERR_IOMMUFD_NO_DEVICE: there is none, or it is not bound to vfio-pci; the message tells
   *   how to bind it
   * @throws SystemError EBUSY, or of VFIO_DEVICE_BIND_IOMMUFD EINVAL: another program has it; EACCES: no
   *   permission to open it
   */
  openDevice(bdf: string): Device {
    this.assertOpen();
    return new Device(this.#backend, this.#file, this, this.#backend.findVfioDevice(normalizeBdf(bdf)));
  }

  /** Allocates an I/O address space (IOMMU_IOAS_ALLOC). */
  allocIoas(): Ioas {
    this.assertOpen();
    return new Ioas(this.#file, this);
  }

  /**
   * Allocates memory for DMA, zeroed.
   *
   * @param length in bytes, a positive multiple of the page size
   * @throws SystemError ENOMEM
   */
  allocMemory(length: bigint): DmaMemory {
    this.assertOpen();
    if (checkU64(length, "length") === 0n || length % BigInt(this.pageSize) !== 0n) {
      throw outOfRange("length", `a positive multiple of the page size, ${this.pageSize}`, length);
    }
    return new DmaMemory(this.#backend.allocMemory(length), length);
  }

  protected override release(): void {
    this.#file.close();
  }
}
