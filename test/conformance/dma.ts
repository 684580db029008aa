/** DMA of a device: by the engine of QEMU's edu device on the kernel (docs/specs/edu.rst), by the model's own. */

import { setTimeout } from "node:timers/promises";
import {
  type Device,
  DmaFault,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
} from "../../lib/index.ts";
import { model } from "./backend.ts";

/** Moves up to 4096 bytes between memory and a buffer of the device. An access that the IOMMU stops moves nothing, and is not reported here. */
export interface Dma {
  /** Fills the buffer from memory. */
  read(iova: bigint, length: number): Promise<void>;
  /** Writes what the buffer has to memory. */
  write(iova: bigint, length: number): Promise<void>;
}

/** The engine of a device. */
export function dmaOf(device: Device): Dma {
  return model === undefined ? edu(device) : modelled(device);
}

function edu(device: Device): Dma {
  const [SOURCE, DESTINATION, COUNT, COMMAND] = [0x80n, 0x88n, 0x90n, 0x98n] as const;
  const [START, TO_MEMORY, BUFFER] = [1n, 2n, 0x40000n] as const;
  const PCI_COMMAND = 4n;
  const MEMORY_AND_BUS_MASTER = 6;
  const config = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
  config.writeUint16(PCI_COMMAND, config.readUint16(PCI_COMMAND) | MEMORY_AND_BUS_MASTER);
  const registers = device.region(VFIO_PCI_BAR0_REGION_INDEX);
  const move = async (source: bigint, destination: bigint, length: number, command: bigint) => {
    registers.writeUint64(SOURCE, source);
    registers.writeUint64(DESTINATION, destination);
    registers.writeUint64(COUNT, BigInt(length));
    registers.writeUint64(COMMAND, START | command);
    while (registers.readUint64(COMMAND) & START) await setTimeout(10);
  };
  return {
    read: (iova, length) => move(iova, BUFFER, length, 0n),
    write: (iova, length) => move(BUFFER, iova, length, TO_MEMORY),
  };
}

function modelled({ name }: Device): Dma {
  const buffer = new Uint8Array(4096);
  const stoppedSilently = (error: unknown) => {
    if (!(error instanceof DmaFault)) throw error;
  };
  return {
    read: async (iova, length) => {
      await model?.dmaRead(name, iova, length).then((bytes) => buffer.set(bytes), stoppedSilently);
    },
    write: async (iova, length) => {
      await model?.dmaWrite(name, iova, buffer.subarray(0, length)).catch(stoppedSilently);
    },
  };
}
