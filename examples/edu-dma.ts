/**
 * A driver in TypeScript for QEMU's `edu` device (docs/specs/edu.rst in QEMU): it has a DMA engine behind BAR 0, which
 * is made to read and write memory through the IOMMU.
 *
 * Run it where an edu device is bound to vfio-pci, as in the test machine: the kernel lane does.
 */

import { setTimeout } from "node:timers/promises";
import { Iommufd, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from "iommufd";

/** Registers of BAR 0. */
const IDENTIFICATION = 0x00n;
const DMA_SOURCE = 0x80n;
const DMA_DESTINATION = 0x88n;
const DMA_COUNT = 0x90n;
const DMA_COMMAND = 0x98n;
/** Bits of DMA_COMMAND. */
const START = 1;
const TO_MEMORY = 2;
/** Where the device's own 4 KiB are, as its DMA engine sees them. */
const DEVICE_BUFFER = 0x40000n;

/** PCI command register, and its bit that lets a device do DMA. */
const PCI_COMMAND = 4n;
const BUS_MASTER = 4;

const PAGE = 4096;
/** How much is copied at once; QEMU stops where a copy ends at the very end of the device's buffer. */
const LENGTH = 2048;

using iommufd = Iommufd.open({ backend: "kernel" });
using device = iommufd.openDevice(process.argv[2] ?? "0000:00:01.0");
using ioas = iommufd.allocIoas();
await device.attach(ioas);

const config = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
config.writeUint16(PCI_COMMAND, config.readUint16(PCI_COMMAND) | BUS_MASTER);
const registers = device.region(VFIO_PCI_BAR0_REGION_INDEX);
console.log(`edu: identification 0x${registers.readUint32(IDENTIFICATION).toString(16)}`);

/** Lets the device copy, and waits until it says that it has. */
async function dma(source: bigint, destination: bigint, direction: number): Promise<void> {
  registers.writeUint64(DMA_SOURCE, source);
  registers.writeUint64(DMA_DESTINATION, destination);
  registers.writeUint64(DMA_COUNT, BigInt(LENGTH));
  registers.writeUint64(DMA_COMMAND, BigInt(START | direction));
  while (registers.readUint64(DMA_COMMAND) & BigInt(START)) await setTimeout(10);
}

/** Where the device finds each page of the memory; it drives 28 bits of address. */
const memory = iommufd.allocMemory(BigInt(4 * PAGE));
const [SOURCE, TARGET, READ_ONLY, UNMAPPED] = [0x10_0000n, 0x20_0000n, 0x30_0000n, 0x40_0000n];
await ioas.map(memory, { iova: SOURCE, offset: 0n, length: 4096n });
await ioas.map(memory, { iova: TARGET, offset: 4096n, length: 4096n });
await ioas.map(memory, { iova: READ_ONLY, offset: 8192n, length: 4096n, writable: false });

const page = (index: number) => new Uint8Array(memory.buffer, index * PAGE, LENGTH);
page(0).forEach((_, index, bytes) => {
  bytes[index] = index ^ (index >> 8) ^ 0x5a;
});
const arrived = (index: number) => Buffer.compare(page(index), page(0)) === 0;

await dma(SOURCE, DEVICE_BUFFER, 0);
await dma(DEVICE_BUFFER, TARGET, TO_MEMORY);
console.log(`through the IOMMU and back: ${arrived(1) ? "every byte arrived" : "the bytes differ"}`);

await dma(DEVICE_BUFFER, READ_ONLY, TO_MEMORY);
console.log(
  `a write to a read-only mapping: ${page(2).some((byte) => byte !== 0) ? "arrived" : "did not arrive"}`,
);

await dma(DEVICE_BUFFER, UNMAPPED, TO_MEMORY);
console.log(
  `a write to an IOVA that is not mapped: ${page(3).some((byte) => byte !== 0) ? "arrived" : "did not arrive"}`,
);

await ioas.unmap(TARGET, 4096n);
page(1).fill(0);
await dma(DEVICE_BUFFER, TARGET, TO_MEMORY);
console.log(`a write after unmapping: ${page(1).some((byte) => byte !== 0) ? "arrived" : "did not arrive"}`);
