/** Registers of a mapped region, on a file that stands for the region. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { loadAddon, type NativeRegion, type NativeVfioDeviceFile } from "../../lib/backend/kernel/addon.ts";

const EACCES = -13;

it.runIf(process.platform === "linux")("registers of a mapped region are read and written", () => {
  const addon = loadAddon();
  const path = join(mkdtempSync(join(tmpdir(), "iommufd-registers-")), "region");
  writeFileSync(path, new Uint8Array(4096));
  const device = addon.openVfioDevice(path) as NativeVfioDeviceFile;
  const region = device.mapRegion(0n, 4096n, true) as NativeRegion;
  const bytes = new DataView(region.buffer());
  expect(region.writeUint32(0n, 0x8765_4321)).toBe(0);
  expect(bytes.getUint32(0, true)).toBe(0x8765_4321);
  expect(region.writeUint64(4088n, 0xfedc_ba98_7654_3210n)).toBe(0);
  expect(bytes.getBigUint64(4088, true)).toBe(0xfedc_ba98_7654_3210n);
  expect(region.readUint32(4092n)).toBe(0xfedc_ba98);
  expect(region.readUint64(0n)).toBe(0x8765_4321n);
  for (const [refused, message] of [
    [() => region.readUint32(2n), "offset must be a multiple of 4 within the mapped region, received 2"],
    [() => region.readUint32(4096n), "a multiple of 4 within the mapped region"],
    [() => region.readUint32((1n << 64n) - 4n), "a multiple of 4 within the mapped region"],
    [() => region.readUint64(4n), "a multiple of 8 within the mapped region"],
    [() => region.writeUint64(4096n, 0n), "a multiple of 8 within the mapped region"],
    [() => region.writeUint32(0n, -1), "value must be an integer from 0 to 4294967295, received -1"],
    [() => region.writeUint64(0n, 1 as never), "value must be a bigint, received 1"],
    [() => region.readUint32(0 as never), "offset must be a bigint, received 0"],
  ] as const)
    expect(refused).toThrow(message);
  const readOnly = device.mapRegion(0n, 4096n, false) as NativeRegion;
  expect(readOnly.readUint32(0n)).toBe(0x8765_4321);
  expect(readOnly.writeUint32(0n, 1)).toBe(EACCES);
  expect(readOnly.writeUint64(0n, 1n)).toBe(EACCES);
  expect(region.readUint32(0n)).toBe(0x8765_4321);
  region.close();
  expect(() => region.readUint32(0n)).toThrow(expect.objectContaining({ code: "ERR_IOMMUFD_CLOSED" }));
  rmSync(dirname(path), { recursive: true });
});
