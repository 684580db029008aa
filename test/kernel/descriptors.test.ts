/** Descriptors handed in and out: a manager opens, another program uses. */

import { spawnSync } from "node:child_process";
import { closeSync, openSync, readlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Iommufd } from "../../lib/index.ts";
import { PROJECT } from "../e2e/command.ts";

/** Runs a script with the library in another process, which gets a descriptor as its number 3. */
function elsewhere(script: string, fd: number): string {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", `import { Iommufd } from "${PROJECT}dist/index.js";\n${script}`],
    { stdio: ["ignore", "pipe", "pipe", fd], encoding: "utf8" },
  );
  return stdout + stderr;
}

describe("an iommufd", () => {
  it("handed to another process is the same one", () => {
    using iommufd = Iommufd.open({ backend: "kernel" });
    iommufd.rlimitMode = "process";
    expect(iommufd.allocIoas().id).toBe(1);
    expect(
      elsewhere("const it = Iommufd.fromFd(3); console.log(it.rlimitMode, it.allocIoas().id)", iommufd.fd),
    ).toBe("process 2\n");
    expect(iommufd.allocIoas().id).toBe(3);
  });

  it("is not inherited unless it is handed over", () => {
    using iommufd = Iommufd.open({ backend: "kernel" });
    using device = iommufd.openDevice("0000:00:01.0");
    const memory = iommufd.allocMemory(4096n);
    const { stdout } = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" });
    expect(readlinkSync(`/proc/self/fd/${iommufd.fd}`)).toBe("/dev/iommu");
    expect(readlinkSync(`/proc/self/fd/${memory.fd}`)).toContain("memfd:iommufd");
    expect(stdout).not.toMatch(/iommu|vfio/);
    expect(device.fd).toBeGreaterThan(2);
  });

  it("can be taken over in this process, and outlives the one it came from", () => {
    const first = Iommufd.open({ backend: "kernel" });
    using second = Iommufd.fromFd(first.fd);
    first.close();
    expect(second.allocIoas().id).toBe(1);
    expect(() => Iommufd.fromFd(9999)).toThrow(expect.objectContaining({ code: "EBADF", syscall: "fcntl" }));
  });
});

describe("a device", () => {
  it("that a manager opened is bound by its descriptor", () => {
    using iommufd = Iommufd.open({ backend: "kernel" });
    const fd = openSync("/dev/vfio/devices/vfio0", "r+");
    const device = iommufd.openDeviceFile(fd);
    closeSync(fd);
    expect(device.info()).toEqual({ flags: 2, numRegions: 9, numIrqs: 5 });
    device.attachSync(iommufd.allocIoas());
  });
});
