/**
 * No kernel writes past what the addon has set aside: under one that writes as far as it may (hostile-kernel.cc), and under
 * AddressSanitizer, so it runs in the lane of the sanitizers only.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const sanitizers = process.env["LD_PRELOAD"]?.includes("libasan") === true;
const ADDON = fileURLToPath(new URL("../../build/Release/iommufd.node", import.meta.url));

/** Every call in which the kernel is given a pointer, with lengths around those where sizes are rounded. */
const SCRIPT = `
  const addon = require(${JSON.stringify(ADDON)});
  const iommufd = addon.openIommufd("/dev/null");
  const device = addon.openVfioDevice("/dev/null");
  let made = 0;
  const call = (body) => {
    try {
      body();
      made++;
    } catch (error) {
      if (error.code !== "ERR_OUT_OF_RANGE") throw error;
    }
  };
  const sizes = [0n, 1n, 63n, 64n, 65n, 4095n, 4096n, 4097n, (1n << 18n) - 1n, 1n << 18n, (1n << 18n) + 1n, 1n << 26n];
  const pageSizes = [0n, 1n, 3n, 4096n, 4097n, 12288n, 65536n, 1n << 21n, (1n << 40n) + 4096n, 1n << 63n];
  (async () => {
    for (const size of sizes) for (const pageSize of pageSizes) for (const iova of [0n, pageSize]) {
      const lengths = [size, size * 4096n, size * pageSize].filter((length) => length < 1n << 40n);
      for (const length of lengths) {
        call(() => iommufd.hwptGetDirtyBitmapSync(1, 0, iova, length, pageSize));
        call(() => device.reportDmaLogging(iova, length, pageSize));
        call(() => device.startDmaLogging(pageSize, BigUint64Array.of(iova, length)));
        try {
          await iommufd.hwptGetDirtyBitmap(1, 0, iova, length, pageSize);
          made++;
        } catch (error) {
          if (error.code !== "ERR_OUT_OF_RANGE") throw error;
        }
      }
    }
    for (let length = 0; length < 100; length++) {
      const bytes = new Uint8Array(length);
      call(() => iommufd.getHwInfo(1, new ArrayBuffer(length)));
      call(() => iommufd.hwptAllocSync(1, 2, 0, 0, 1, bytes));
      call(() => iommufd.viommuAlloc(1, 2, 1, bytes));
      call(() => iommufd.hwptInvalidate(1, 0, length, 1, bytes));
      call(() => iommufd.ioasAllowIovas(1, new BigUint64Array(length)));
      for (let feature = 0; feature < 16; feature++)
        for (const access of [1 << 16, 1 << 17, 1 << 18]) call(() => device.feature(access | feature, bytes));
      call(() => device.exportDmaBuf(0, new BigUint64Array(length)));
      call(() => device.getRegionInfo(length));
      call(() => device.getIrqInfo(length));
    }
    iommufd.ioasIovaRanges(1);
    for (const answer of [
      iommufd.destroy(1), iommufd.ioasAlloc(), iommufd.ioasChangeProcess(), iommufd.ioasUnmapSync(1, 0n, 1n),
      iommufd.ioasCopySync(1, 2, 7, 1n, 0n, 0n), iommufd.option(0, 1, 0, 0n), iommufd.vfioIoas(0, 0),
      iommufd.vdeviceAlloc(1, 2, 3n), iommufd.hwQueueAlloc(1, 1, 0, 0n, 1n), iommufd.supports(0x85),
      iommufd.hwptSetDirtyTracking(1, true), device.bindIommufd(iommufd), device.attachIommufdPtSync(1, 7),
      device.detachIommufdPt(7), device.getInfo(), device.reset(), device.setIrqs(0, 32, 0, 1, [addon.createEventFd()]),
    ]) made++;
    console.log(made);
  })();`;

it.runIf(sanitizers)(
  "no kernel writes or reads past what it is pointed to",
  () => {
    const directory = mkdtempSync(join(tmpdir(), "iommufd-hostile-"));
    try {
      const library = join(directory, "hostile-kernel.so");
      const source = fileURLToPath(new URL("hostile-kernel.cc", import.meta.url));
      const flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address", "-shared", "-fPIC", "-Wall", "-Wextra"];
      const { LD_PRELOAD: _, ...compiling } = process.env;
      execFileSync(process.env["CXX"] ?? "c++", [...flags, "-o", library, source, "-ldl"], {
        env: compiling,
      });
      const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", SCRIPT], {
        encoding: "utf8",
        env: { ...process.env, LD_PRELOAD: `${process.env["LD_PRELOAD"]} ${library}` },
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(Number(stdout)).toBeGreaterThan(2000);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
  120_000,
);
