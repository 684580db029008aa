/** VFIO_DEVICE_FEATURE and the files of memory, in the addon: what it lets JavaScript ask for, and what it keeps safe. */

import { ftruncateSync, truncateSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadAddon, type NativeMemory, type NativeVfioDeviceFile } from "../../lib/backend/kernel/addon.ts";

const ENOTTY = -25;

describe.runIf(process.platform === "linux")("the addon", () => {
  const addon = loadAddon();

  it("asks for features whose data is bytes and nothing else; all may be probed", () => {
    const device = addon.openVfioDevice("/dev/null") as NativeVfioDeviceFile;
    const [GET, SET, PROBE] = [1 << 16, 1 << 17, 1 << 18];
    for (let feature = 0; feature < 16; feature++) {
      expect(device.feature(PROBE | GET | feature, new Uint8Array(0))).toBe(ENOTTY);
      const plain = [0, 1, 3, 5, 7, 9, 10].includes(feature);
      for (const access of [GET, SET]) {
        const ask = () => device.feature(access | feature, new Uint8Array(64));
        if (plain) expect(ask()).toBe(ENOTTY);
        else expect(ask, String(feature)).toThrow("no addresses and no descriptors");
      }
    }
    const range = BigUint64Array.of(0n, 4096n);
    expect(device.exportDmaBuf(0, range)).toBe(ENOTTY);
    expect(device.startDmaLogging(4096n, range)).toBe(ENOTTY);
    expect(device.reportDmaLogging(0n, 1n << 26n, 4096n)).toBe(ENOTTY);
    expect(() => device.exportDmaBuf(0, BigUint64Array.of(0n))).toThrow("pairs of start and length");
    expect(() => device.startDmaLogging(3n, range)).toThrow("pageSize must be a power of two");
    expect(() => device.reportDmaLogging(0n, 0n, 4096n)).toThrow("length must be at least a page");
  });

  it("seals the file of a memory: nobody can cut it under the mapping, which would end the process (SIGBUS)", () => {
    const sealed = addon.allocMemory(8192n, 4096n, false) as NativeMemory;
    const bytes = new Uint8Array(sealed.buffer());
    for (const length of [0, 4096, 16384])
      expect(() => ftruncateSync(sealed.fd(), length)).toThrow(expect.objectContaining({ code: "EPERM" }));
    expect(() => truncateSync(`/proc/self/fd/${sealed.fd()}`, 0)).toThrow("EPERM");
    bytes.fill(1);
    sealed.close();
  });
});
