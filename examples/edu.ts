/**
 * The DMA engine of QEMU's `edu` device (docs/specs/edu.rst in QEMU). On the model of a machine, the model's own DMA takes its place.
 * edu-dma.ts shows step by step how such a driver is written.
 */

import { setTimeout } from "node:timers/promises";
import {
  type Device,
  DmaFault,
  type SoftwareMachine,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
} from "iommufd";

/** Moves up to 4096 bytes between memory and a buffer of the device. An access that the IOMMU stops moves nothing, and is not reported here. */
export interface Dma {
  /** Fills the buffer from memory. */
  read(iova: bigint, length: number): Promise<void>;
  /** Writes what the buffer has to memory. */
  write(iova: bigint, length: number): Promise<void>;
}

/**
 * The engine of a device.
 *
 * @param machine the model that the device is of; undefined where the kernel has it
 */
export function dmaOf(device: Device, machine: SoftwareMachine | undefined): Dma {
  return machine === undefined ? edu(device) : modelled(machine, device.name);
}

function edu(device: Device): Dma {
  const DMA_SOURCE = 0x80n;
  const DMA_DESTINATION = 0x88n;
  const DMA_COUNT = 0x90n;
  const DMA_COMMAND = 0x98n;
  const START = 1n;
  const TO_MEMORY = 2n;
  const DEVICE_BUFFER = 0x40000n;
  const PCI_COMMAND = 4n;
  const MEMORY_AND_BUS_MASTER = 6;
  const config = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
  config.writeUint16(PCI_COMMAND, config.readUint16(PCI_COMMAND) | MEMORY_AND_BUS_MASTER);
  const registers = device.region(VFIO_PCI_BAR0_REGION_INDEX);
  const move = async (source: bigint, destination: bigint, length: number, direction = 0n) => {
    registers.writeUint64(DMA_SOURCE, source);
    registers.writeUint64(DMA_DESTINATION, destination);
    registers.writeUint64(DMA_COUNT, BigInt(length));
    registers.writeUint64(DMA_COMMAND, START | direction);
    while (registers.readUint64(DMA_COMMAND) & START) await setTimeout(10);
  };
  return {
    read: (iova, length) => move(iova, DEVICE_BUFFER, length),
    write: (iova, length) => move(DEVICE_BUFFER, iova, length, TO_MEMORY),
  };
}

function modelled(machine: SoftwareMachine, bdf: string): Dma {
  const buffer = new Uint8Array(4096);
  const stopped = (error: unknown) => {
    if (!(error instanceof DmaFault)) throw error;
  };
  return {
    read: (iova, length) => machine.dmaRead(bdf, iova, length).then((bytes) => buffer.set(bytes), stopped),
    write: (iova, length) => machine.dmaWrite(bdf, iova, buffer.subarray(0, length)).catch(stopped),
  };
}
