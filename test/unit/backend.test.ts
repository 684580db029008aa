/** Choosing a backend, its errors, and the tracing of its calls. */

import { tracingChannel } from "node:diagnostics_channel";
import { existsSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { chooseBackend } from "../../lib/backend/select.ts";
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

  describe("IOMMUFD_BACKEND, where nothing else says it", () => {
    afterEach(() => vi.unstubAllEnvs());

    it("software and auto", () => {
      vi.stubEnv("IOMMUFD_BACKEND", "software");
      expect(selectBackend().reason).toBe("IOMMUFD_BACKEND=software; model of sapphire-rapids");
      expect(selectBackend({ profile: "none" }).reason).toBe("asked for; model of none");
      expect(() => selectBackend({ backend: "kernel", profile: "none" })).toThrow("goes with the software");
      vi.stubEnv("IOMMUFD_BACKEND", "auto");
      expect(chooseBackend({})).toEqual({ choice: "auto", asker: "IOMMUFD_BACKEND=auto" });
      vi.stubEnv("IOMMUFD_BACKEND", "kernel");
      expect(selectBackend({ profile: "none" }).backend.name).toBe("software");
      expect(chooseBackend({})).toEqual({ choice: "kernel", asker: "IOMMUFD_BACKEND=kernel" });
      vi.stubEnv("IOMMUFD_BACKEND", "");
      expect(chooseBackend({}).choice).toBe("kernel");
    });

    it.each(["sofware", "Auto", "1"])("%j: one clear error", (value) => {
      vi.stubEnv("IOMMUFD_BACKEND", value);
      expect(() => Iommufd.open()).toThrow(
        expect.objectContaining({
          code: "ERR_IOMMUFD_INPUT",
          message: `IOMMUFD_BACKEND in the environment must be auto, kernel or software, it is "${value}"`,
        }),
      );
      expect(selectBackend({ backend: "software" }).backend.name).toBe("software");
    });
  });

  it("refuses what is no backend", () => {
    expect(() => Iommufd.open({ backend: "hardware" as "auto" })).toThrow(
      expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }),
    );
  });

  it("refuses a profile for the kernel", () => {
    expect(() => selectBackend({ backend: "kernel", profile: "none" })).toThrow(
      expect.objectContaining({ code: "ERR_IOMMUFD_INPUT" }),
    );
  });

  it.runIf(!existsSync("/dev/iommu"))(
    "where there is no kernel: auto falls back and says why, kernel does not, and is the default",
    () => {
      const { backend, reason } = selectBackend({ backend: "auto" });
      expect(backend).toMatchObject({ name: "software", profile: "sapphire-rapids" });
      expect(reason).toMatch(/^no \/dev\/iommu: .*; model of sapphire-rapids$/);
      const absent = /^the kernel backend cannot be used: no \/dev\/iommu: .*\(modprobe iommufd\)/;
      const error = (message: RegExp) =>
        expect.objectContaining({
          code: "ERR_IOMMUFD_NO_KERNEL_BACKEND",
          message: expect.stringMatching(message),
        });
      expect(() => selectBackend({ backend: "kernel" })).toThrow(error(new RegExp(`${absent.source}$`)));
      const hint = /; a model answers only where one is asked for: .*--profile.*--backend auto\)$/;
      expect(() => selectBackend()).toThrow(error(new RegExp(`${absent.source}${hint.source}`)));
      expect(() => Iommufd.open()).toThrow(error(absent));
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
