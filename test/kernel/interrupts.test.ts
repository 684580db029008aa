/** Interrupts of a real device: QEMU's edu raises one when it is told to. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Device,
  type Interrupts,
  type InterruptVector,
  Iommufd,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../lib/index.ts";

/** Registers of edu: raising an interrupt with a value, and acknowledging it. */
const [RAISE, ACKNOWLEDGE] = [0x60n, 0x64n] as const;

let iommufd: Iommufd;
let device: Device;
let raise: (value: number) => void;
let acknowledge: (value: number) => void;

beforeEach(() => {
  iommufd = Iommufd.open({ backend: "kernel" });
  device = iommufd.openDevice("0000:00:01.0");
  device.attachSync(iommufd.allocIoas());
  const config = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
  config.writeUint16(4n, config.readUint16(4n) | 4); // bus master: an MSI is a write
  const registers = device.region(VFIO_PCI_BAR0_REGION_INDEX);
  raise = (value) => registers.writeUint32(RAISE, value);
  acknowledge = (value) => registers.writeUint32(ACKNOWLEDGE, value);
});

afterEach(() => iommufd.close());

/** How often it came, by the next time that it is told. */
async function next(vector: InterruptVector): Promise<bigint | undefined> {
  for await (const count of vector) return count;
  return undefined;
}

/** Whether nothing comes for a while. */
async function quiet(interrupts: Interrupts): Promise<boolean> {
  const pending = Symbol();
  const wait = next(interrupts.vectors[0]);
  const outcome = await Promise.race([
    wait,
    new Promise((resolve) => setTimeout(() => resolve(pending), 200)),
  ]);
  interrupts.trigger(); // so that the wait ends
  await wait;
  return outcome === pending;
}

describe("interrupts", () => {
  it("come as MSI, as often as the device sends them", async () => {
    using interrupts = device.enableInterrupts(VFIO_PCI_MSI_IRQ_INDEX);
    expect(interrupts.vectors.length).toBe(1);
    const [vector] = interrupts.vectors;
    for (const value of [1, 2]) {
      const came = next(vector);
      raise(value);
      expect(await came).toBe(1n);
      acknowledge(value);
    }
    interrupts.trigger();
    interrupts.trigger();
    expect(await next(vector)).toBe(2n);
  });

  it("come as INTx, masked until they are unmasked", async () => {
    const interrupts = device.enableInterrupts(VFIO_PCI_INTX_IRQ_INDEX);
    expect(interrupts.info.flags & VFIO_IRQ_INFO_AUTOMASKED).not.toBe(0);
    raise(1);
    expect(await next(interrupts.vectors[0])).toBe(1n);
    raise(2);
    expect(await quiet(interrupts)).toBe(true);
    interrupts.unmask();
    expect(await next(interrupts.vectors[0]), "it is raised still").toBe(1n);
    acknowledge(3);
    interrupts.unmask();
    interrupts.mask();
    raise(4);
    expect(await quiet(interrupts)).toBe(true);
    interrupts.unmask();
    expect(await next(interrupts.vectors[0])).toBe(1n);
    acknowledge(4);
  });

  it("end with their loops when they are turned off, and can be taken again", async () => {
    const interrupts = device.enableInterrupts(VFIO_PCI_MSI_IRQ_INDEX, 1);
    const loop = next(interrupts.vectors[0]);
    interrupts.close();
    expect(await loop).toBeUndefined();
    expect(() => interrupts.trigger()).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    using again = device.enableInterrupts(VFIO_PCI_INTX_IRQ_INDEX);
    expect(() => again.trigger(1)).toThrow("vector must be below 1");
  });

  it("of two kinds do not go together, nor more than there are: EINVAL; some cannot be masked", () => {
    using interrupts = device.enableInterrupts(VFIO_PCI_MSI_IRQ_INDEX);
    expect(() => device.enableInterrupts(VFIO_PCI_INTX_IRQ_INDEX)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "VFIO_DEVICE_SET_IRQS" }),
    );
    expect(() => interrupts.mask()).toThrow(
      expect.objectContaining({ code: "ENOTTY", syscall: "VFIO_DEVICE_SET_IRQS" }),
    );
    expect(() => device.enableInterrupts(VFIO_PCI_MSI_IRQ_INDEX, 2)).toThrow(RangeError);
    using request = device.enableInterrupts(VFIO_PCI_REQ_IRQ_INDEX);
    request.trigger();
  });

  it("go with the device", async () => {
    const interrupts = device.enableInterrupts(VFIO_PCI_MSI_IRQ_INDEX);
    const loop = next(interrupts.vectors[0]);
    device.close();
    expect(await loop).toBeUndefined();
    expect(interrupts.closed).toBe(true);
  });
});
