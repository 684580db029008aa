/** The controller as a PCI function that is bound to vfio-pci. */

import {
  Iommufd,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
} from "iommufd";
import { Controller } from "./controller.ts";
import type { ControllerOptions } from "./options.ts";
import type { Transport } from "./transport.ts";

/** PCI command register, and its bits: decode memory addresses; do DMA. */
const PCI_COMMAND = 4n;
const MEMORY_AND_BUS_MASTER = 2 | 4;
/** PCI class of NVMe: mass storage, non-volatile memory, NVM Express. */
const CLASS_REVISION = 8n;
const NVME_CLASS = 0x010802;

/**
 * Drives the controller at a PCI address.
 *
 * @param bdf where it is, "0000:01:00.0"; it must be bound to vfio-pci
 */
export async function openController(bdf: string, options: ControllerOptions = {}): Promise<Controller> {
  const iommufd = Iommufd.open({ backend: "kernel" });
  let transport: Transport;
  try {
    transport = await openTransport(iommufd, bdf);
  } catch (error) {
    iommufd.close();
    throw error;
  }
  return Controller.start(transport, options);
}

async function openTransport(iommufd: Iommufd, bdf: string): Promise<Transport> {
  const device = iommufd.openDevice(bdf);
  const config = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
  const pciClass = config.readUint32(CLASS_REVISION) >>> 8;
  if (pciClass !== NVME_CLASS)
    throw new RangeError(
      `${bdf} is no NVMe controller: its class is 0x${pciClass.toString(16).padStart(6, "0")}`,
    );
  const ioas = iommufd.allocIoas();
  await device.attach(ioas);
  // Without it the controller can neither reach memory nor interrupt.
  config.writeUint16(PCI_COMMAND, config.readUint16(PCI_COMMAND) | MEMORY_AND_BUS_MASTER);
  const registers = device.region(VFIO_PCI_BAR0_REGION_INDEX).map();
  return {
    registers,
    iommufd,
    ioas,
    interrupts: device.interruptInfo(VFIO_PCI_MSIX_IRQ_INDEX).count,
    enableInterrupts: (count) => device.enableInterrupts(VFIO_PCI_MSIX_IRQ_INDEX, count).vectors,
    reset: () => device.reset(),
    block: () => device.detach(),
    // The interrupts, the registers and the device before the address space, whatever the order here.
    close: () => iommufd.close(),
  };
}
