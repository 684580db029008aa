/** A device: its regions, reset, features, and real DMA. */

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Device,
  Iommufd,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
} from "../../lib/index.ts";
import { PROJECT } from "../e2e/command.ts";
import { printedLines } from "../printed-lines.ts";

const einval = expect.objectContaining({ code: "EINVAL" });

let iommufd: Iommufd;
let device: Device;

beforeEach(() => {
  iommufd = Iommufd.open({ backend: "kernel" });
  device = iommufd.openDevice("0000:00:01.0");
});

afterEach(() => iommufd.close());

describe("regions", () => {
  it("are told as vfio-pci has them", () => {
    const bar0 = device.region(VFIO_PCI_BAR0_REGION_INDEX);
    expect(bar0.info).toEqual({ flags: 7, size: 0x100000n, offset: 0n });
    expect(device.region(1).info).toEqual({ flags: 0, size: 0n, offset: 1n << 40n });
    expect(device.region(VFIO_PCI_CONFIG_REGION_INDEX).info).toMatchObject({ flags: 3, offset: 7n << 40n });
    expect(() => device.region(99)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "VFIO_DEVICE_GET_REGION_INFO" }),
    );
  });

  it("are read and written, register by register and in bytes", () => {
    const config = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
    expect(config.readUint32(0n)).toBe(0x11e8_1234);
    expect(config.readUint16(2n)).toBe(0x11e8);
    expect([...config.read(0n, 4)]).toEqual([0x34, 0x12, 0xe8, 0x11]);
    const registers = device.region(VFIO_PCI_BAR0_REGION_INDEX);
    expect(registers.readUint32(0n) & 0xff).toBe(0xed);
    // The liveness register gives back the complement of what was written.
    registers.writeUint32(4n, 0x1234_5678);
    expect(registers.readUint32(4n)).toBe(~0x1234_5678 >>> 0);
    registers.write(4n, new Uint8Array([0xff, 0xff, 0xff, 0xff]));
    expect([...registers.read(4n, 4)]).toEqual([0, 0, 0, 0]);
    registers.writeUint64(0x80n, 0x1234n);
    expect(registers.readUint64(0x80n)).toBe(0x1234n);
  });

  it("are not left by an access", () => {
    const bar0 = device.region(VFIO_PCI_BAR0_REGION_INDEX);
    for (const access of [
      () => bar0.readUint32(0xffffdn),
      () => bar0.read(0x100000n, 1),
      () => bar0.write((1n << 64n) - 1n, new Uint8Array(1)),
      () => bar0.map(0n, 0x200000n),
      () => device.region(1).readUint16(0n),
    ]) {
      expect(access).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
    }
  });

  it("are mapped where they can be", () => {
    const bar0 = device.region(VFIO_PCI_BAR0_REGION_INDEX);
    bar0.writeUint32(4n, 0xffff_0000);
    const mapped = bar0.map();
    expect(mapped.buffer.byteLength).toBe(0x100000);
    expect(new Uint32Array(mapped.buffer)[1]).toBe(0xffff);
    mapped.writeUint32(4n, 0x1234_5678);
    expect(mapped.readUint32(4n)).toBe(~0x1234_5678 >>> 0);
    // edu takes 64 bits from 0x80 on, and there alone.
    mapped.writeUint64(0x80n, 0x1_2345_6789n);
    expect(mapped.readUint64(0x80n)).toBe(0x1_2345_6789n);
    const { buffer } = mapped;
    device.close();
    expect(mapped.closed).toBe(true);
    expect(buffer.byteLength).toBe(0);
    expect(() => mapped.readUint32(0n)).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
    expect(() => mapped.buffer).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
  });

  it("that cannot be mapped are refused: EINVAL", () => {
    expect(() => device.region(VFIO_PCI_CONFIG_REGION_INDEX).map(0n, 256n)).toThrow(einval);
  });
});

describe("reset and features", () => {
  it("of edu: it cannot be reset, and has no migration", () => {
    expect(() => device.reset()).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "VFIO_DEVICE_RESET" }),
    );
    const VFIO_DEVICE_FEATURE_MIGRATION = 1;
    const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
    expect(device.hasFeature(VFIO_DEVICE_FEATURE_MIGRATION, "get")).toBe(false);
    expect(device.hasFeature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, "set")).toBe(true);
    expect(device.hasFeature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, "get")).toBe(false);
    expect(() => device.getFeature(VFIO_DEVICE_FEATURE_MIGRATION, new Uint8Array(8))).toThrow(
      expect.objectContaining({ code: "ENOTTY", syscall: "VFIO_DEVICE_FEATURE" }),
    );
    expect(() => device.setFeature(0x10000, new Uint8Array(0))).toThrow(
      expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }),
    );
  });
});

it("examples/edu-dma.ts: real DMA, which the IOMMU lets through or stops", async () => {
  iommufd.close();
  const lines = await printedLines(() => import("../../examples/edu-dma.ts"));
  expect(lines).toEqual([
    "edu: identification 0x10000ed",
    "through the IOMMU and back: every byte arrived",
    "a write to a read-only mapping: did not arrive",
    "a write to an IOVA that is not mapped: did not arrive",
    "a write after unmapping: did not arrive",
  ]);
  expect(readFileSync(`${PROJECT}docs/driver.md`, "utf8")).toContain(lines.join("\n"));
});
