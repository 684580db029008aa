import { type ByteCount, checkOptions, checkU32, knownOptions } from "../arguments.ts";
import type { IommufdFile, VfioDeviceFile } from "../backend/backend.ts";
import type { EventFd } from "../backend/handles.ts";
import { invalidType, isSystemError, outOfRange } from "../errors.ts";
import {
  type DeviceId,
  type HwInfo,
  type HwptId,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_PLAIN_FEATURES,
  type VfioDeviceInfo,
  type VfioIrqInfo,
} from "../uapi.ts";
import { checkDirtyRange } from "./dirty-range.ts";
import { DmaBuf, type DmaBufRange } from "./dma-buf.ts";
import { DmaLogging, type DmaLoggingRange } from "./dma-logging.ts";
import { Interrupts } from "./interrupts.ts";
import { PageTable } from "./page-table.ts";
import { Region } from "./region.ts";
import { Resource } from "./resource.ts";

const ACCESS = { get: VFIO_DEVICE_FEATURE_GET, set: VFIO_DEVICE_FEATURE_SET } as const;

/** Room for the vendor's hardware information, in bytes; the largest structure so far has 40. */
const HW_INFO_CAPACITY = 256;

/** The part of a device that is attached. */
export interface AttachOptions {
  /**
   * Only the DMA with this Process Address Space ID, 20 bits; the HWPT must have been allocated with `pasid` (later than
   * Linux 6.12). Default: DMA without one.
   */
  pasid?: number | undefined;
}

const ATTACH_OPTIONS = knownOptions<AttachOptions>({ pasid: "other" });

/**
 * A VFIO device, opened and bound to an iommufd. While it is bound, no other program can have it; binding and
 * closing reset it, where it can be reset. Open one with {@link Iommufd.openDevice}.
 */
export class Device extends Resource {
  /** Its name: its PCI address, "0000:6a:01.0"; the path or descriptor where it was opened by that. */
  readonly name: string;
  /** Its object id within the iommufd. */
  readonly id: DeviceId;
  readonly #iommufd: IommufdFile;
  readonly #file: VfioDeviceFile;
  readonly #createEventFd: () => EventFd;
  readonly #attachments = new Map<number | undefined, PageTable<Device>>();

  /** @internal Takes over the file, and closes it where it cannot be bound. */
  constructor(
    file: VfioDeviceFile,
    iommufd: IommufdFile,
    createEventFd: () => EventFd,
    parent: Resource,
    name: string,
  ) {
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
    this.#createEventFd = createEventFd;
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

  /** The page table that it is attached to. */
  get attachedTo(): PageTable<Device> | undefined {
    return this.#attachments.get(undefined);
  }

  /** The page tables of its attached PASIDs. */
  get attachedPasids(): ReadonlyMap<number, PageTable<Device>> {
    return new Map(
      [...this.#attachments].flatMap(([pasid, table]) => (pasid === undefined ? [] : [[pasid, table]])),
    );
  }

  /**
   * Asks what its IOMMU is (IOMMU_GET_HW_INFO); `decodeHwInfo()` explains the answer.
   *
   * @param type which information, of an IOMMU that has more than one: IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV of an
   *   SMMUv3 (later than Linux 6.12). Default: the first type of its driver
   * @throws SystemError EOPNOTSUPP: it has nothing of that type
   */
  hwInfo(type?: number): HwInfo {
    this.assertOpen();
    if (type !== undefined) checkU32(type, "type");
    return this.#iommufd.getHwInfo(this.id, HW_INFO_CAPACITY, type);
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
   * Reads a feature whose structure is bytes and nothing else: VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, MIGRATION,
   * LOW_POWER_ENTRY, LOW_POWER_EXIT, DMA_LOGGING_STOP, MIG_DATA_SIZE, BUS_MASTER. Others hold addresses or descriptors:
   * see {@link exportDmaBuf} and {@link startDmaLogging}.
   *
   * @param data what the feature's structure has to hold before the call; its length is that of the structure
   * @throws RangeError ERR_OUT_OF_RANGE: it is none of these
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
   * Exports parts of a BAR as a file that {@link Ioas.mapFile} takes (VFIO_DEVICE_FEATURE_DMA_BUF, later than Linux 6.12).
   *
   * @param regionIndex VFIO_PCI_BAR0_REGION_INDEX to 5
   * @throws SystemError ENOTTY: the kernel or the device cannot; ENODEV: there is no such BAR; EINVAL: a range is not of
   *   whole pages, or not within the BAR
   */
  exportDmaBuf(regionIndex: number, ranges: readonly DmaBufRange[]): DmaBuf {
    this.assertOpen();
    return new DmaBuf(this.#file, this, checkU32(regionIndex, "regionIndex"), ranges);
  }

  /**
   * Has the device note which pages its DMA writes to (VFIO_DEVICE_FEATURE_DMA_LOGGING_START, Linux 6.1 and later).
   *
   * @param ranges the IOVAs to watch; they must not overlap
   * @param pageSize how much it should note together, in bytes: a power of two. Default 4096
   * @throws SystemError ENOTTY: the device cannot; EINVAL: it does so already, or a range is not of whole pages; E2BIG
   */
  startDmaLogging(ranges: readonly DmaLoggingRange[], pageSize: ByteCount = 4096n): DmaLogging {
    this.assertOpen();
    if (ranges.length === 0) throw outOfRange("ranges", "at least one", ranges);
    for (const { iova, length } of ranges) checkDirtyRange({ iova, length, pageSize });
    return new DmaLogging(this.#file, this, ranges, BigInt(pageSize));
  }

  /** Asks which interrupts of a kind there are (VFIO_DEVICE_GET_IRQ_INFO). Throws as {@link enableInterrupts} does. */
  interruptInfo(index: number): VfioIrqInfo {
    this.assertOpen();
    return this.#file.getIrqInfo(checkU32(index, "index"));
  }

  /**
   * Takes interrupts: each signals an eventfd of its own (VFIO_DEVICE_SET_IRQS). Closing what is returned turns them off.
   *
   * @param index which kind: VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX and so on; one of the first three at a time
   * @param count how many, from the first. Default: all
   * @throws SystemError EINVAL: there is no such kind, or there are not so many, or another kind is in use
   */
  enableInterrupts(index: number, count?: number): Interrupts {
    const info = this.interruptInfo(index);
    if (info.count === 0) throw outOfRange("index", "a kind of which the device has interrupts", index);
    const taken = checkU32(count ?? info.count, "count");
    if (taken === 0 || taken > info.count) throw outOfRange("count", `from 1 to ${info.count}`, count);
    return new Interrupts(this.#file, this, this.#createEventFd, { index, count: taken, info });
  }

  /**
   * Attaches the device: from now on its DMA goes through that page table (VFIO_DEVICE_ATTACH_IOMMUFD_PT). To an
   * {@link Ioas}, the kernel finds or makes a HWPT for it. An earlier attachment is replaced.
   *
   * @returns the id of the HWPT
   * @throws SystemError EINVAL: the HWPT does not fit the IOMMU of this device, or the device has no PASIDs; EADDRINUSE:
   *   something is mapped in a range that the device reserves
   */
  async attach(target: PageTable<Device>, options: AttachOptions = {}): Promise<HwptId> {
    const { id, pasid } = this.#attachment(target, options);
    return this.#attached(target, pasid, await this.#file.attachIommufdPt(id, pasid));
  }

  /** {@link attach}, on this thread. */
  attachSync(target: PageTable<Device>, options: AttachOptions = {}): HwptId {
    const { id, pasid } = this.#attachment(target, options);
    return this.#attached(target, pasid, this.#file.attachIommufdPtSync(id, pasid));
  }

  /** Detaches it: from now on its DMA is blocked. Harmless where nothing is attached. */
  detach(options: AttachOptions = {}): void {
    this.assertOpen();
    const pasid = pasidOf(options);
    this.#file.detachIommufdPt(pasid);
    this.#forgetAttachment(pasid);
  }

  /** @internal Detaches whatever of it is attached to a page table. */
  detachFrom(target: PageTable<Device>): void {
    for (const [pasid, table] of [...this.#attachments]) if (table === target) this.detach({ pasid });
  }

  #feature(feature: number, flags: number, data: Uint8Array): Uint8Array {
    this.assertOpen();
    if (checkU32(feature, "feature") > 0xffff)
      throw outOfRange("feature", "an integer from 0 to 65535", feature);
    if (!(data instanceof Uint8Array)) throw invalidType("data", "a Uint8Array", data);
    if (!(flags & VFIO_DEVICE_FEATURE_PROBE) && !VFIO_PLAIN_FEATURES.has(feature))
      throw outOfRange("feature", "one whose data has no addresses and no descriptors", feature);
    return this.#file.feature(feature | flags, data);
  }

  /** The kernel detaches and unbinds a device when its descriptor is closed. */
  protected override release(): void {
    this.#file.close();
    for (const pasid of [...this.#attachments.keys()]) this.#forgetAttachment(pasid);
  }

  #attachment(
    target: PageTable<Device>,
    options: AttachOptions,
  ): { id: PageTable<Device>["id"]; pasid: number | undefined } {
    this.assertOpen();
    const pasid = pasidOf(options);
    return { id: this.checkPeer<PageTable<Device>>(target, PageTable, "target").id, pasid };
  }

  #attached(target: PageTable<Device>, pasid: number | undefined, id: HwptId): HwptId {
    this.#forgetAttachment(pasid);
    this.#attachments.set(pasid, target);
    target.attached(this);
    return id;
  }

  #forgetAttachment(pasid: number | undefined): void {
    const target = this.#attachments.get(pasid);
    this.#attachments.delete(pasid);
    // The device may be attached there by another PASID too.
    if (target !== undefined && ![...this.#attachments.values()].includes(target)) target.detached(this);
  }
}

/** 0 stands for DMA without a PASID in the kernel (IOMMU_NO_PASID). */
function pasidOf(options: AttachOptions): number | undefined {
  const { pasid } = checkOptions(options, ATTACH_OPTIONS);
  if (pasid !== undefined && (checkU32(pasid, "pasid") === 0 || pasid >= 1 << 20))
    throw outOfRange("pasid", "an integer from 1 to 2^20-1", pasid);
  return pasid;
}
