/** Descriptors handed to programs that run already: the examples of it, with a real QEMU. */

import { closeSync, existsSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Iommufd, UnixSocket } from "../../lib/index.ts";
import { PROJECT } from "../e2e/command.ts";
import { printedLines } from "../printed-lines.ts";

const qemu = join(PROJECT, "build/test/qemu/usr/bin/qemu-system-x86_64");

const argv = process.argv;
afterEach(() => {
  process.argv = argv;
  vi.restoreAllMocks();
});

describe("examples/iommufd-plugin.ts", () => {
  it("gives each program that connects an iommufd of its own", async () => {
    const path = "/run/tmp/iommufd.sock";
    process.argv = [...argv.slice(0, 2), path];
    const plugin = import("../../examples/iommufd-plugin.ts");
    await vi.waitFor(() => expect(existsSync(path)).toBe(true), 30_000);
    for (let round = 0; round < 2; round++) {
      using socket = UnixSocket.connect(path);
      const { data, fds } = (await socket.receive()) ?? {};
      expect(data?.toString()).toBe("iommufd");
      const [fd = -1] = fds ?? [];
      expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe("/dev/iommu");
      using iommufd = Iommufd.fromFd(fd);
      closeSync(fd);
      expect([iommufd.rlimitMode, iommufd.allocIoas().id]).toEqual(["process", 1]);
    }
    process.emit("SIGTERM");
    await plugin;
    expect(existsSync(path)).toBe(false);
  });
});

describe.skipIf(!existsSync(qemu))(
  "examples/qemu-handover.ts (scripts/fetch-test-qemu.sh fetches QEMU)",
  () => {
    it("gives a real QEMU devices at its start and while it runs", async () => {
      expect(await printedLines(() => import("../../examples/qemu-handover.ts"), qemu)).toEqual([
        "0000:00:01.0: given to QEMU at its start",
        "0000:00:02.0: given to QEMU over QMP",
        "QEMU has hostdev0, hostdev1",
        "0000:00:01.0: in use (EINVAL)",
        "0000:00:02.0: in use (EINVAL)",
        "QEMU has ended, and both are free again",
      ]);
    });
  },
);
