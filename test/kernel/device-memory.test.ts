/** The memory of a device: mapped while it is there only, exported for other devices, and watched by the device itself. */

import { readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Device,
  Iommufd,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
} from "../../lib/index.ts";

const PCI_COMMAND = 4n;
const PCI_COMMAND_MEMORY = 2;
const VFIO_DEVICE_FEATURE_DMA_BUF = 11;
const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;

let iommufd: Iommufd;
let device: Device;

beforeEach(() => {
  iommufd = Iommufd.open({ backend: "kernel" });
  device = iommufd.openDevice(iommufd.devices()[0] ?? "none");
});

afterEach(() => iommufd.close());

const descriptors = () => readdirSync("/proc/self/fd").length;

it("a BAR is not mapped while memory space is off: an access would end the process", () => {
  const config = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
  const bar0 = device.region(VFIO_PCI_BAR0_REGION_INDEX);
  const command = config.readUint16(PCI_COMMAND);
  config.writeUint16(PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
  expect(() => bar0.map()).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_MEMORY_SPACE_OFF" }));
  config.writeUint16(PCI_COMMAND, command | PCI_COMMAND_MEMORY);
  using mapped = bar0.map();
  expect(new Uint32Array(mapped.buffer)[0]).toBe(0x010000ed);
});

describe("a part of a BAR as a file (dma-buf)", () => {
  const ranges = [{ offset: 0n, length: 0x1000n }];

  it("is mapped for other devices, and closed with its device", async ({ skip }) => {
    if (!device.hasFeature(VFIO_DEVICE_FEATURE_DMA_BUF, "get")) return skip("this kernel exports none");
    const before = descriptors();
    const dmaBuf = device.exportDmaBuf(VFIO_PCI_BAR0_REGION_INDEX, ranges);
    expect(dmaBuf.length).toBe(0x1000n);
    expect(descriptors()).toBe(before + 1);
    using other = iommufd.openDevice(iommufd.devices()[1] ?? "none");
    using ioas = iommufd.allocIoas();
    await other.attach(ioas);
    expect(await ioas.mapFile(dmaBuf, { iova: 0x10_0000n })).toBe(0x10_0000n);
    expect(ioas.mapFileSync(dmaBuf.fd, { iova: 0x20_0000n, length: dmaBuf.length })).toBe(0x20_0000n);
    expect(ioas.unmapSync(0x10_0000n, 0x1000n)).toBe(0x1000n);
    expect(() => ioas.mapFileSync(dmaBuf, { start: 0x2000n })).toThrow(
      expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }),
    );
    device.close();
    expect(dmaBuf.closed).toBe(true);
    expect(() => dmaBuf.fd).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    expect(() => ioas.mapFileSync(dmaBuf)).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    expect(ioas.unmapSync(0x20_0000n, 0x1000n)).toBe(0x1000n);
  });

  it("is of what there is; and no call leaves a descriptor behind", ({ skip }) => {
    if (!device.hasFeature(VFIO_DEVICE_FEATURE_DMA_BUF, "get")) {
      expect(() => device.exportDmaBuf(0, ranges)).toThrow(expect.objectContaining({ code: "ENOTTY" }));
      return skip("this kernel exports none");
    }
    const before = descriptors();
    for (const [index, wrong] of [
      [0, { offset: 1n, length: 0x1000n }],
      [0, { offset: 1n << 40n, length: 0x1000n }],
      [5, { offset: 0n, length: 0x1000n }],
      [7, { offset: 0n, length: 0x1000n }],
    ] as const) {
      expect(() => device.exportDmaBuf(index, [wrong])).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/EINVAL|ENODEV/),
          syscall: "VFIO_DEVICE_FEATURE",
        }),
      );
    }
    expect(() => device.exportDmaBuf(0, [])).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
    // The descriptor is what the ioctl answers: asked for raw, it would be lost.
    expect(() => device.getFeature(VFIO_DEVICE_FEATURE_DMA_BUF, new Uint8Array(32))).toThrow(
      "feature must be one whose data has no addresses and no descriptors",
    );
    for (let i = 0; i < 50; i++) device.exportDmaBuf(0, ranges).close();
    expect(descriptors()).toBe(before);
  });
});

it("a device that does not note what it writes says so: ENOTTY", () => {
  expect(device.hasFeature(VFIO_DEVICE_FEATURE_DMA_LOGGING_START, "set")).toBe(false);
  const range = { iova: 0n, length: 0x1000n };
  expect(() => device.startDmaLogging([range])).toThrow(
    expect.objectContaining({ code: "ENOTTY", syscall: "VFIO_DEVICE_FEATURE" }),
  );
  for (const wrong of [() => device.startDmaLogging([]), () => device.startDmaLogging([range], 3n)])
    expect(wrong).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
});
