import { type ByteCount, checkByteCount, checkU32, checkU64 } from "../arguments.ts";
import type { VfioDeviceFile } from "../backend/backend.ts";
import type { BackendRegion } from "../backend/handles.ts";
import { IommufdError, invalidType, outOfRange, systemError } from "../errors.ts";
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_REGION_INFO_FLAG_WRITE,
  type VfioRegionInfo,
} from "../uapi.ts";
import { Resource } from "./resource.ts";

/** PCI: the command register, and its bit that turns memory space on. */
const PCI_COMMAND = 4n;
const PCI_COMMAND_MEMORY = 2;

/**
 * A region of a {@link Device}: a BAR, the ROM, the configuration space. Made by {@link Device.region}.
 *
 * Offsets are in bytes from the start of the region. Values are little-endian, as PCI is. An aligned access of 1, 2,
 * 4 or 8 bytes reaches the device as one access of that width (drivers/vfio/pci/vfio_pci_rdwr.c). But some devices and
 * hosts see two accesses of 4 bytes in place of one of 8.
 */
export class Region extends Resource {
  /** Its index: VFIO_PCI_BAR0_REGION_INDEX and on. */
  readonly index: number;
  /** The kind of the region (VFIO_DEVICE_GET_REGION_INFO). */
  readonly info: VfioRegionInfo;
  readonly #file: VfioDeviceFile;
  readonly #word = new DataView(new ArrayBuffer(8));

  /** @internal */
  constructor(file: VfioDeviceFile, parent: Resource, index: number) {
    const info = file.getRegionInfo(index);
    super(parent);
    this.index = index;
    this.info = info;
    this.#file = file;
  }

  /**
   * Reads bytes.
   *
   * @throws RangeError ERR_OUT_OF_RANGE: not within the region
   * @throws SystemError of `pread`: EINVAL, EIO
   */
  read(offset: ByteCount, length: number): Uint8Array {
    checkU32(length, "length");
    const target = new Uint8Array(length);
    this.#transfer(this.#position(offset, length), target, "pread");
    return target;
  }

  /** Writes bytes. Throws as {@link read} does, of `pwrite`. */
  write(offset: ByteCount, source: Uint8Array): void {
    if (!(source instanceof Uint8Array)) throw invalidType("source", "a Uint8Array", source);
    this.#transfer(this.#position(offset, source.length), source, "pwrite");
  }

  /** Reads a register of 16 bits, little-endian. Throws as {@link read} does. */
  readUint16(offset: ByteCount): number {
    return this.#readWord(offset, 2).getUint16(0, true);
  }

  /** Reads a register of 32 bits, little-endian. Throws as {@link read} does. */
  readUint32(offset: ByteCount): number {
    return this.#readWord(offset, 4).getUint32(0, true);
  }

  /** Reads a register of 64 bits, little-endian. Throws as {@link read} does. */
  readUint64(offset: ByteCount): bigint {
    return this.#readWord(offset, 8).getBigUint64(0, true);
  }

  /** Writes a register of 16 bits, little-endian. Throws as {@link write} does. */
  writeUint16(offset: ByteCount, value: number): void {
    if (checkU32(value, "value") > 0xffff) throw outOfRange("value", "an integer from 0 to 65535", value);
    this.#word.setUint16(0, value, true);
    this.#writeWord(offset, 2);
  }

  /** Writes a register of 32 bits, little-endian. Throws as {@link write} does. */
  writeUint32(offset: ByteCount, value: number): void {
    this.#word.setUint32(0, checkU32(value, "value"), true);
    this.#writeWord(offset, 4);
  }

  /** Writes a register of 64 bits, little-endian. Throws as {@link write} does. */
  writeUint64(offset: ByteCount, value: bigint): void {
    this.#word.setBigUint64(0, checkU64(value, "value"), true);
    this.#writeWord(offset, 8);
  }

  /**
   * Maps the region, or a part of it. Its registers are then read and written without a system call
   * ({@link MappedRegion.readUint32} and so on), and its memory is an ArrayBuffer.
   *
   * An access while the device has its memory space turned off (bit 1 of the command register), or sleeps (D3hot), ends
   * the process: SIGBUS, which is VFIO's way (vfio_pci_mmap_page_fault() in drivers/vfio/pci/vfio_pci_core.c). Nobody
   * but this program can do that to the device. A reset waits for accesses.
   *
   * @param offset a multiple of the page size. Default 0
   * @param length in bytes. Default: the rest of the region
   * @throws SystemError of `mmap`: EINVAL where the region, or that part of it, cannot be mapped
   * @throws IommufdError ERR_IOMMUFD_MEMORY_SPACE_OFF: the device has its memory space turned off
   */
  map(offset: ByteCount = 0n, length?: ByteCount): MappedRegion {
    const bytes =
      length === undefined
        ? this.info.size - checkByteCount(offset, "offset")
        : checkByteCount(length, "length");
    const position = this.#position(offset, Number(bytes));
    const writable = (this.info.flags & VFIO_REGION_INFO_FLAG_WRITE) !== 0;
    this.#checkMemorySpace();
    return new MappedRegion(this, this.#file.mapRegion(position, bytes, writable), bytes);
  }

  protected override release(): void {}

  #position(offset: ByteCount, length: number): bigint {
    this.assertOpen();
    const start = checkByteCount(offset, "offset");
    if (start + BigInt(length) > this.info.size) {
      throw outOfRange("offset", `within the region, whose size is ${this.info.size}`, offset);
    }
    return this.info.offset + start;
  }

  /** The BARs and the ROM of a PCI device are there only while it decodes their addresses. */
  #checkMemorySpace(): void {
    if (this.index > VFIO_PCI_ROM_REGION_INDEX || !(this.#file.getInfo().flags & VFIO_DEVICE_FLAGS_PCI))
      return;
    const config = this.#file.getRegionInfo(VFIO_PCI_CONFIG_REGION_INDEX);
    if (config.size === 0n) return;
    const command = new Uint8Array(2);
    this.#transfer(config.offset + PCI_COMMAND, command, "pread");
    if (!((command[0] as number) & PCI_COMMAND_MEMORY)) {
      throw new IommufdError(
        "ERR_IOMMUFD_MEMORY_SPACE_OFF",
        "the device has its memory space turned off, and an access to the mapping would end the process; set bit 1 of its command register (configuration space, offset 4) first",
      );
    }
  }

  #transfer(position: bigint, bytes: Uint8Array, syscall: "pread" | "pwrite"): void {
    let done = 0;
    while (done < bytes.length) {
      const rest = bytes.subarray(done);
      const at = position + BigInt(done);
      const count = syscall === "pread" ? this.#file.read(at, rest) : this.#file.write(at, rest);
      // Nothing at all is answered where a worker is ending.
      if (!(count > 0)) throw systemError("EIO", syscall, { position: at, length: rest.length });
      done += count;
    }
  }

  #readWord(offset: ByteCount, width: 2 | 4 | 8): DataView {
    const position = this.#position(offset, width);
    this.#transfer(position, new Uint8Array(this.#word.buffer, 0, width), "pread");
    return this.#word;
  }

  #writeWord(offset: ByteCount, width: 2 | 4 | 8): void {
    const position = this.#position(offset, width);
    this.#transfer(position, new Uint8Array(this.#word.buffer, 0, width), "pwrite");
  }
}

/**
 * A mapped region of a device. Closing it detaches its ArrayBuffer.
 *
 * Registers are for the methods. Each access is one load or store of its width. It keeps the order of readl() and writel()
 * in Linux (Documentation/driver-api/device-io.rst):
 *
 * - The device sees a write after everything that this thread has written before, to {@link DmaMemory} too. So a doorbell
 *   needs no barrier of its own.
 * - Memory is read after the register that was read before it.
 *
 * A write may still be on its way when the method returns (PCI posts writes). To read any register of the device waits for
 * its arrival. Offsets are in bytes from where the mapping starts.
 */
export class MappedRegion extends Resource {
  readonly #region: BackendRegion;
  readonly #length: bigint;

  /** @internal */
  constructor(parent: Resource, region: BackendRegion, length: bigint) {
    super(parent);
    this.#region = region;
    this.#length = length;
  }

  /**
   * The device's memory. The same ArrayBuffer each time.
   *
   * Not for registers: JavaScript may leave out, repeat, split and move accesses to an ArrayBuffer, and `Atomics` make locked
   * accesses of some, which a PCI Express device does not take.
   */
  get buffer(): ArrayBuffer {
    this.assertOpen();
    return this.#region.buffer();
  }

  /**
   * Reads a register of 32 bits, little-endian.
   *
   * @param offset a multiple of 4
   * @throws RangeError ERR_OUT_OF_RANGE: it is none, or not within the mapped region
   */
  readUint32(offset: ByteCount): number {
    return this.#region.readUint32(this.#checkOffset(offset, 4n));
  }

  /**
   * Reads a register of 64 bits, little-endian.
   *
   * @param offset a multiple of 8
   * @throws RangeError ERR_OUT_OF_RANGE: it is none, or not within the mapped region
   */
  readUint64(offset: ByteCount): bigint {
    return this.#region.readUint64(this.#checkOffset(offset, 8n));
  }

  /**
   * Writes a register of 32 bits, little-endian. Throws as {@link readUint32} does.
   *
   * @throws SystemError EACCES: the region cannot be written
   */
  writeUint32(offset: ByteCount, value: number): void {
    this.#region.writeUint32(this.#checkOffset(offset, 4n), checkU32(value, "value"));
  }

  /** Writes a register of 64 bits, little-endian. Throws as {@link readUint64} and {@link writeUint32} do. */
  writeUint64(offset: ByteCount, value: bigint): void {
    this.#region.writeUint64(this.#checkOffset(offset, 8n), checkU64(value, "value"));
  }

  protected override release(): void {
    this.#region.close();
  }

  #checkOffset(offset: ByteCount, width: bigint): bigint {
    this.assertOpen();
    const start = checkByteCount(offset, "offset");
    if (start % width !== 0n || start + width > this.#length)
      throw outOfRange("offset", `a multiple of ${width} within the ${this.#length} bytes mapped`, offset);
    return start;
  }
}
