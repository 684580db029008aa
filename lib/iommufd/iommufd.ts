/**
 * An iommufd: the way in. Everything else is made from it.
 */

import { type ByteCount, checkByteCount, checkOptions, checkU32 } from "../arguments.ts";
import type { Backend, BackendName, IommufdFile } from "../backend/backend.ts";
import type { IommufdIoctl } from "../backend/ioctl.ts";
import { type BackendOptions, type SelectedBackend, selectBackend } from "../backend/select.ts";
import { normalizeBdf } from "../bdf.ts";
import { invalidType, isSystemError, outOfRange } from "../errors.ts";
import {
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  type IoasId,
} from "../uapi.ts";
import { Device } from "./device.ts";
import { DmaMemory, MEMORY_OPTIONS, type MemoryOptions } from "./dma-memory.ts";
import { FaultQueue } from "./fault-queue.ts";
import { Ioas } from "./ioas.ts";
import { MappingCalls } from "./mapping-calls.ts";
import { explainOpenError } from "./open-error.ts";
import { Resource } from "./resource.ts";

/** The account that is charged for pinned memory. */
export type RlimitMode = "user" | "process";

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
  readonly #mappingCalls = new MappingCalls();
  /** Why this backend was chosen. */
  readonly backendReason: string;

  /** @internal */
  constructor({ backend, reason }: SelectedBackend, file = backend.openIommufd()) {
    super();
    this.#backend = backend;
    this.backendReason = reason;
    this.#file = file;
  }

  /**
   * Opens an iommufd of the kernel, unless a model is asked for. {@link selectBackend} says how.
   *
   * @param where which backend; or one that was selected before, so that several iommufds share one modelled machine
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: there is no kernel to ask, and no model was asked for;
   *   ERR_IOMMUFD_INPUT: the profile cannot be read, or IOMMUFD_BACKEND does not name a backend
   * @throws SystemError of `open`
   */
  static open(where: BackendOptions | SelectedBackend = {}): Iommufd {
    return new Iommufd(isSelected(where) ? where : selectBackend(where));
  }

  /**
   * Takes over an iommufd that another program opened: one that came over a unix socket, or was inherited. Objects
   * that are in it already cannot be named here.
   *
   * @param fd its descriptor; it is duplicated, and stays yours to close
   * @throws SystemError EBADF: it is none
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: the kernel backend is not there
   */
  static fromFd(fd: number): Iommufd {
    checkU32(fd, "fd");
    const selected = selectBackend({ backend: "kernel" });
    return new Iommufd(selected, selected.backend.openIommufdFd(fd));
  }

  /**
   * The descriptor, to hand to another program: in the `stdio` of a child process, or over a unix socket. It is
   * close-on-exec and stays this object's to close.
   *
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: on the software backend
   */
  get fd(): number {
    this.assertOpen();
    return this.#file.fd();
  }

  /**
   * Whether the kernel supports an ioctl: `supports("IOMMU_IOAS_MAP_FILE")`. One that it does not know answers ENOTTY.
   *
   * @throws RangeError ERR_OUT_OF_RANGE: iommufd has no ioctl of that name
   */
  supports(ioctl: IommufdIoctl): boolean {
    this.assertOpen();
    return this.#file.supports(ioctl);
  }

  /**
   * The account that is charged for pinned memory (IOMMU_OPTION_RLIMIT_MODE): the user (the default), or the process as
   * VFIO does.
   */
  get rlimitMode(): RlimitMode {
    return this.#rlimitMode(IOMMU_OPTION_OP_GET, 0n);
  }

  /** Throws a SystemError: EPERM without CAP_SYS_RESOURCE, EBUSY once there are objects. */
  set rlimitMode(mode: RlimitMode) {
    if (mode !== "user" && mode !== "process") throw outOfRange("rlimitMode", '"user" or "process"', mode);
    this.#rlimitMode(IOMMU_OPTION_OP_SET, mode === "process" ? 1n : 0n);
  }

  /**
   * The address space that the VFIO compatibility interface (VFIO_IOMMU_MAP_DMA on this descriptor) uses, by its id;
   * undefined where there is none (IOMMU_VFIO_IOAS).
   */
  get vfioIoas(): IoasId | undefined {
    this.assertOpen();
    try {
      return this.#file.vfioIoas(IOMMU_VFIO_IOAS_GET, 0);
    } catch (error) {
      if (isSystemError(error, "ENODEV")) return undefined;
      throw error;
    }
  }

  /**
   * Sets it, or with undefined turns the interface off.
   *
   * @throws RangeError ERR_OUT_OF_RANGE: the address space is of another iommufd
   */
  setVfioIoas(ioas: Ioas | undefined): void {
    this.assertOpen();
    if (ioas === undefined) this.#file.vfioIoas(IOMMU_VFIO_IOAS_CLEAR, 0);
    else this.#file.vfioIoas(IOMMU_VFIO_IOAS_SET, this.checkPeer(ioas, Ioas, "ioas").id);
  }

  /**
   * Charges pinned memory to this process, after exec or a hand-over (IOMMU_IOAS_CHANGE_PROCESS, later than Linux 6.12).
   *
   * @throws SystemError EINVAL: something is mapped that is not of a file ({@link Ioas.mapFile}); ENOMEM: past
   *   RLIMIT_MEMLOCK; ENOTTY: the kernel is too old
   */
  changeProcess(): void {
    this.assertOpen();
    this.#file.ioasChangeProcess();
  }

  /** Which backend it is on. */
  get backend(): BackendName {
    return this.#backend.name;
  }

  /** The release of Linux that answers, or that is modelled: "6.12.48-amd64". */
  get kernelRelease(): string {
    return this.#backend.kernelRelease;
  }

  /**
   * How much memory may be mapped on the machine that is modelled (RLIMIT_MEMLOCK), in bytes; undefined where its profile has no
   * limit, and where the kernel answers.
   */
  get memlock(): bigint | undefined {
    return this.#backend.memlock;
  }

  /** Name of the profile of the machine that is modelled; undefined where the kernel answers. */
  get profile(): string | undefined {
    return this.#backend.profile;
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
  devicePath(bdf: string): string {
    return this.#backend.findVfioDevice(normalizeBdf(bdf)).cdev;
  }

  /**
   * Number of the IOMMU group of a device; undefined if it is unknown. Devices of one group have one attachment.
   * Throws as {@link openDevice} does.
   */
  iommuGroup(bdf: string): number | undefined {
    return this.#backend.findVfioDevice(normalizeBdf(bdf)).group;
  }

  /**
   * Opens a device and binds it (VFIO_DEVICE_BIND_IOMMUFD).
   *
   * @param bdf its PCI address; the domain may be left out: "6a:01.0"
   * @throws IommufdError ERR_IOMMUFD_NO_DEVICE: there is none, or it is not bound to vfio-pci; the message says how to
   * bind it
   * @throws SystemError of VFIO_DEVICE_BIND_IOMMUFD EINVAL: another program has it; EBUSY: another program has its IOMMU
   *   group; EPERM: its interrupts are not isolated, or another device of its group belongs to somebody else; EACCES of
   * `open`: no permission. The message names the reason and the other program, as far as this process may see
   */
  openDevice(bdf: string): Device {
    this.assertOpen();
    const entry = this.#backend.findVfioDevice(normalizeBdf(bdf));
    return this.#device(entry.cdev, entry.bdf, entry.bdf);
  }

  /**
   * Binds a device that was opened elsewhere: by a manager that hands its character device over, or by path.
   *
   * @param cdev the path of its character device, or the descriptor of one that is not bound yet; a descriptor is
   *   duplicated, and stays yours to close
   * @throws SystemError as {@link openDevice}
   */
  openDeviceFile(cdev: string | number): Device {
    this.assertOpen();
    if (typeof cdev !== "string" && typeof cdev !== "number")
      throw invalidType("cdev", "a path or a descriptor", cdev);
    return this.#device(cdev, typeof cdev === "string" ? cdev : `descriptor ${checkU32(cdev, "cdev")}`);
  }

  /**
   * Allocates an I/O address space (IOMMU_IOAS_ALLOC).
   *
   * @throws SystemError ENOMEM
   */
  allocIoas(): Ioas {
    this.assertOpen();
    return new Ioas(this.#file, this.#mappingCalls, this);
  }

  /**
   * Allocates a queue for the faults of HWPTs (IOMMU_FAULT_QUEUE_ALLOC, Linux 6.11 and later).
   *
   * @throws SystemError ENOTTY: the kernel is too old; ENOMEM; EMFILE
   */
  allocFaultQueue(): FaultQueue {
    this.assertOpen();
    return new FaultQueue(this.#file, this);
  }

  /**
   * Allocates memory for DMA, zeroed.
   *
   * @param length in bytes, a positive multiple of the page size
   * @throws SystemError ENOMEM: there is not so much, or of huge pages not so many are set aside
   *   (/sys/kernel/mm/hugepages/); ENODEV, EINVAL: the machine has no pages of that size
   */
  allocMemory(length: ByteCount, options: MemoryOptions = {}): DmaMemory {
    this.assertOpen();
    const { backing = "memfd" } = checkOptions(options, MEMORY_OPTIONS);
    if (backing !== "memfd" && backing !== "anonymous")
      throw outOfRange("backing", '"memfd" or "anonymous"', backing);
    const pageSize = checkByteCount(options.pageSize ?? this.pageSize, "pageSize");
    if (pageSize < this.pageSize || pageSize & (pageSize - 1n))
      throw outOfRange("pageSize", `a power of two of at least ${this.pageSize}`, options.pageSize);
    const bytes = checkByteCount(length, "length");
    if (bytes === 0n || bytes % pageSize !== 0n) {
      throw outOfRange("length", `a positive multiple of the page size, ${pageSize}`, length);
    }
    const anonymous = backing === "anonymous";
    return new DmaMemory(this.#backend.allocMemory({ length: bytes, pageSize, anonymous }), bytes, pageSize);
  }

  #device(cdev: string | number, name: string, bdf?: string): Device {
    const backend = this.#backend;
    try {
      const file = typeof cdev === "string" ? backend.openVfioDevice(cdev) : backend.openVfioDeviceFd(cdev);
      return new Device(file, this.#file, () => backend.createEventFd(), this, name);
    } catch (error) {
      throw explainOpenError(error, () => (bdf === undefined ? undefined : backend.deviceUse(bdf)));
    }
  }

  #rlimitMode(op: number, value: bigint): RlimitMode {
    this.assertOpen();
    const mode = this.#file.option({ optionId: IOMMU_OPTION_RLIMIT_MODE, op, objectId: 0, value });
    return mode === 1n ? "process" : "user";
  }

  protected override release(): void {
    this.#file.close();
  }
}

function isSelected(where: BackendOptions | SelectedBackend): where is SelectedBackend {
  return typeof where === "object" && where !== null && "reason" in where;
}
