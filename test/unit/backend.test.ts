/** Choosing a backend, its errors, and the tracing of its calls. */

import { tracingChannel } from "node:diagnostics_channel";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { systemError } from "../../lib/errors.ts";
import { type IoctlTrace, Iommufd, isSystemError, selectBackend } from "../../lib/index.ts";

describe("selectBackend", () => {
  it("takes the software backend where it is asked for, or a profile is given, and says so", () => {
    expect(selectBackend({ backend: "software" }).reason).toBe("asked for; model of sapphire-rapids");
    expect(selectBackend({ profile: "none" })).toMatchObject({
      backend: { name: "software" },
      reason: "asked for; model of none",
    });
    expect(selectBackend({ backend: "auto", profile: "none" }).backend.name).toBe("software");
  });

  it("refuses a profile for the kernel", () => {
    expect(() => selectBackend({ backend: "kernel", profile: "none" })).toThrow(
      expect.objectContaining({ code: "ERR_IOMMUFD_INPUT" }),
    );
  });

  it.runIf(!existsSync("/dev/iommu"))(
    "where there is no kernel: auto falls back and says why, kernel does not",
    () => {
      expect(selectBackend().backend.name).toBe("software");
      expect(selectBackend().reason).toMatch(/^no \/dev\/iommu: .*; model of sapphire-rapids$/);
      expect(() => selectBackend({ backend: "kernel" })).toThrow(
        expect.objectContaining({
          code: "ERR_IOMMUFD_NO_KERNEL_BACKEND",
          message: expect.stringContaining("the kernel backend cannot be used: no /dev/iommu"),
        }),
      );
    },
  );
});

describe("systemError", () => {
  it("has the shape of Node's, whether made by name or by number", () => {
    const error = systemError(-95, "IOMMU_HWPT_ALLOC", { deviceId: 1, length: 4096n, iova: undefined });
    expect(error).toMatchObject({ code: "EOPNOTSUPP", errno: -95, syscall: "IOMMU_HWPT_ALLOC" });
    expect(error.message).toBe("EOPNOTSUPP: not supported, IOMMU_HWPT_ALLOC deviceId=1 length=0x1000");
    expect(systemError("EOPNOTSUPP", "x").errno).toBe(-95);
    expect(systemError(95, "x").code).toBe("EOPNOTSUPP");
  });

  it("names numbers that it has no words for", () => {
    expect(systemError(-71, "x").code).toBe("EPROTO");
    expect(systemError(-4095, "x")).toMatchObject({ code: "E4095", message: "E4095: unknown error, x" });
  });

  it("is told from other errors", () => {
    expect(isSystemError(systemError("EINVAL", "x"))).toBe(true);
    expect(isSystemError(systemError("EINVAL", "x"), "EBUSY", "EINVAL")).toBe(true);
    expect(isSystemError(systemError("EINVAL", "x"), "EBUSY")).toBe(false);
    expect(isSystemError(new Error("EINVAL"))).toBe(false);
    expect(isSystemError(undefined)).toBe(false);
  });
});

describe("the tracing channel iommufd:ioctl", () => {
  it("tells of every call: arguments, result, error", async () => {
    const seen: IoctlTrace[] = [];
    const handlers = {
      start() {},
      end(trace: IoctlTrace) {
        if ("result" in trace || "error" in trace) seen.push(trace);
      },
      asyncStart() {},
      asyncEnd(trace: IoctlTrace) {
        seen.push(trace);
      },
      error() {},
    };
    const channel = tracingChannel<string, IoctlTrace>("iommufd:ioctl");
    channel.subscribe(handlers);
    {
      using iommufd = Iommufd.open({ profile: "sapphire-rapids" });
      const ioas = iommufd.allocIoas();
      const memory = iommufd.allocMemory(4096n);
      await ioas.map(memory, { iova: 0n });
      await ioas.map(memory, { iova: 0n }).catch(() => {});
      iommufd.openDevice("6a:01.0").attachSync(ioas);
    }
    channel.unsubscribe(handlers);
    expect(
      seen.map(({ syscall, result, error }) => [syscall, result ?? (error as NodeJS.ErrnoException)?.code]),
    ).toEqual([
      ["IOMMU_IOAS_ALLOC", 1],
      ["IOMMU_IOAS_MAP", 0n],
      ["IOMMU_IOAS_MAP", "EEXIST"],
      ["VFIO_DEVICE_BIND_IOMMUFD", 2],
      ["VFIO_DEVICE_ATTACH_IOMMUFD_PT", 3],
    ]);
    expect(seen[1]?.arguments).toEqual([
      expect.objectContaining({ ioasId: 1, flags: 7, iova: 0n, length: 4096n }),
    ]);
  });
});
