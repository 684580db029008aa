/** The explanations of errors of opening a device, with the user that is in the way. */

import { describe, expect, it } from "vitest";
import { deviceUse } from "../../lib/backend/kernel/device-use.ts";
import { explained, isSystemError, systemError } from "../../lib/errors.ts";
import { Iommufd, softwareMachine } from "../../lib/index.ts";
import { explainOpenError } from "../../lib/iommufd/open-error.ts";
import { BDF, recordedTree } from "./recorded-tree.ts";

const tree = recordedTree();
const MATE = "0000:6a:01.1";

const message = (
  code: "EPERM" | "EINVAL" | "EBUSY" | "EACCES" | "EIO",
  use = () => deviceUse(tree.root, BDF),
) => (explainOpenError(systemError(code, "VFIO_DEVICE_BIND_IOMMUFD"), use) as Error).message;

describe("binding a device", () => {
  it("EPERM, alone in its group: its interrupts are not isolated", () => {
    expect(message("EPERM")).toBe(
      "EPERM: operation not permitted, VFIO_DEVICE_BIND_IOMMUFD: its interrupts are not isolated from those of the host " +
        "(no interrupt remapping), and iommufd takes no such device: `iommufd doctor` says what to do",
    );
  });

  it("EPERM, where another of its group has an owner: who, a driver or a process", () => {
    tree.device(MATE, { driver: "ahci", group: 7 });
    tree.device("0000:6a:00.0", { driver: "pcieport", group: 7, class: "0x060400" });
    expect(message("EPERM")).toContain("belongs to somebody else: 0000:6a:01.1 (ahci); or its interrupts");
    tree.remove(`sys/bus/pci/devices/${MATE}`);
    tree.device(MATE, { driver: "vfio-pci", cdev: "vfio1" });
    expect(message("EPERM")).toMatch(
      /not isolated .*, or another device of its IOMMU group belongs to somebody else/,
    );
    expect(message("EPERM")).not.toContain("6a:00.0");
    tree.process(812, "qemu-system-x86", "/dev/vfio/devices/vfio1");
    expect(message("EPERM")).toContain("0000:6a:01.1 (qemu-system-x86 (process 812)); or");
  });

  it("EPERM: a VFIO driver of a vendor's own is nobody who has it, with or without a character device", () => {
    tree.device(MATE, { driver: "mlx5_vfio_pci", group: 7 });
    expect(message("EPERM")).not.toContain("mlx5_vfio_pci");
  });

  it("EINVAL: which process has it", () => {
    tree.process(811, "bash", "/dev/null");
    tree.process(812, "qemu-system-x86", "/dev/null", "/dev/vfio/devices/vfio0", "/dev/vfio/devices/vfio0");
    tree.process(process.pid, "node", "/dev/vfio/devices/vfio0");
    expect(message("EINVAL")).toMatch(
      /: another program has it: (this process, qemu-system-x86 \(process 812\)|qemu-system-x86 \(process 812\), this process)$/,
    );
  });

  it("a process names itself, but not so that a terminal would obey", () => {
    tree.process(666, "\u001b[2Jx", "/dev/vfio/devices/vfio0");
    expect(message("EINVAL")).toMatch(/: another program has it: \?\[2Jx \(process 666\)$/);
  });

  it("EINVAL, where nobody can be seen to have it: all that it can be", () => {
    expect(message("EINVAL")).toMatch(
      /another program has it, one that this process may not see; or the firmware reserves memory for its IOMMU group, or its DMA bypasses the caches/,
    );
  });

  it("EBUSY: who has the file of its group", () => {
    tree.process(99, "dpdk", "/dev/vfio/7");
    expect(message("EBUSY")).toContain("dpdk (process 99) has /dev/vfio/7 open");
    tree.remove("proc/99");
    expect(message("EBUSY")).toContain(
      "another program has /dev/vfio/7 open, or the group is attached elsewhere",
    );
  });

  it("of a device that is not in sysfs, or was handed over: what can be said", () => {
    tree.remove(`sys/bus/pci/devices/${BDF}`);
    expect(message("EPERM")).toContain("or another device of its IOMMU group");
    expect(message("EBUSY", () => undefined as never)).toContain(
      "its IOMMU group is in use by another program",
    );
  });

  it("anything else as it is, and nobody is asked", () => {
    const error = systemError("EIO", "VFIO_DEVICE_BIND_IOMMUFD");
    expect(message("EIO")).toBe(error.message);
    expect(explainOpenError(new RangeError("x"), () => expect.unreachable())).toBeInstanceOf(RangeError);
    expect(
      explainOpenError(systemError("EINVAL", "IOMMU_IOAS_MAP"), () => expect.unreachable()),
    ).toHaveProperty("message", expect.stringMatching(/IOMMU_IOAS_MAP$/));
  });
});

it("opening a character device without permission", () => {
  const open = systemError("EACCES", "open", { path: "/dev/vfio/devices/vfio0" });
  expect(explainOpenError(open, () => expect.unreachable())).toMatchObject({
    code: "EACCES",
    message:
      "EACCES: permission denied, open path=/dev/vfio/devices/vfio0: run as root, or give your user access to it (udev)",
  });
});

it("an error that is explained is the same but for its words", () => {
  const error = systemError("EINVAL", "IOMMU_IOAS_MAP", { iova: 0x1000n });
  const { code, errno, syscall, request, message: words, cause } = explained(error, "so");
  expect({ code, errno, syscall, request }).toEqual({
    code: "EINVAL",
    errno: -22,
    syscall: "IOMMU_IOAS_MAP",
    request: { iova: 0x1000n },
  });
  expect([words, cause]).toEqual([`${error.message}: so`, error]);
  expect(isSystemError(explained(error, "so"), "EINVAL")).toBe(true);
});

it("every way to a device explains it", () => {
  const host = softwareMachine("sapphire-rapids");
  using iommufd = Iommufd.open(host);
  host.failNext("VFIO_DEVICE_BIND_IOMMUFD", "EPERM");
  expect(() => iommufd.openDevice(BDF)).toThrow(/^EPERM: .*interrupts are not isolated/);
  using _first = iommufd.openDevice(BDF);
  expect(() => iommufd.openDevice(BDF)).toThrow(/^EINVAL: .*another program has it/);
  expect(() => iommufd.openDeviceFile(iommufd.devicePath(BDF))).toThrow(/^EINVAL: .*another program has it/);
});
