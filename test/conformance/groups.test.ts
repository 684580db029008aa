/**
 * Devices that share an IOMMU group (drivers/iommu/iommufd/device.c, drivers/iommu/iommu.c): one attachment for all of
 * them. On the kernel it takes a machine of its own, whose two edu devices are behind a PCI bridge:
 * IOMMUFD_TEST_MACHINE=shared-group node test/kernel/boot.js.
 */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadProfile } from "../../lib/backend/software/profile.ts";
import {
  captureProfile,
  type Device,
  type Ioas,
  Iommufd,
  parseProfile,
  type SelectedBackend,
  selectBackend,
  softwareMachine,
} from "../../lib/index.ts";
import { backendName, PAGE } from "./backend.ts";

const onKernel = backendName === "kernel";
const there = !onKernel || process.env["IOMMUFD_TEST_MACHINE"] === "shared-group";
const [FIRST, SECOND] = onKernel ? ["0000:01:01.0", "0000:01:02.0"] : ["0000:00:01.0", "0000:00:02.0"];

function openMachine(): SelectedBackend {
  if (onKernel) return selectBackend({ backend: "kernel" });
  const profile = loadProfile("qemu-vtd");
  return softwareMachine({ ...profile, devices: profile.devices.map((device) => ({ ...device, group: 7 })) });
}

describe.skipIf(!there)(`devices of one group (${backendName})`, () => {
  let machine: SelectedBackend;
  let iommufd: Iommufd;
  let first: Device;
  let second: Device;
  let ioas: Ioas;
  let other: Ioas;

  beforeEach(() => {
    machine = openMachine();
    iommufd = Iommufd.open(machine);
    first = iommufd.openDevice(FIRST);
    second = iommufd.openDevice(SECOND);
    [ioas, other] = [iommufd.allocIoas(), iommufd.allocIoas()];
  });

  afterEach(() => iommufd.close());

  const einval = expect.objectContaining({ code: "EINVAL", syscall: "VFIO_DEVICE_ATTACH_IOMMUFD_PT" });

  it("belong to one iommufd: EPERM", () => {
    second.close();
    using another = Iommufd.open(machine);
    expect(() => another.openDevice(SECOND)).toThrow(
      expect.objectContaining({ code: "EPERM", syscall: "VFIO_DEVICE_BIND_IOMMUFD" }),
    );
    first.close();
    another.openDevice(SECOND);
  });

  it("are attached to one page table, which goes with the last of them", () => {
    const id = first.attachSync(ioas);
    expect(second.attachSync(ioas)).toBe(id);
    first.detach();
    expect(ioas.iovaRanges().alignment).toBe(PAGE);
    second.detach();
    expect(ioas.iovaRanges().alignment).toBe(1n);
  });

  it("cannot be attached to different ones: EINVAL", () => {
    first.attachSync(ioas);
    expect(() => second.attachSync(other)).toThrow(einval);
    const hwpt = ioas.allocHwptSync(first);
    expect(() => second.attachSync(hwpt)).toThrow(einval);
    expect(second.attachSync(ioas)).toBe(second.attachSync(ioas));
    first.detach();
    second.detach();
    expect(second.attachSync(hwpt)).toBe(hwpt.id);
  });

  it("are captured as what they are", () => {
    first.close();
    second.close();
    const captured = parseProfile(captureProfile(iommufd, [FIRST, SECOND], { name: "x", description: "" }));
    const groups = captured.devices.map(({ group }) => group);
    expect(groups).toEqual([iommufd.iommuGroup(FIRST), iommufd.iommuGroup(FIRST)]);
    expect(groups[0]).toEqual(expect.any(Number));
    const [alone] = parseProfile(captureProfile(iommufd, [FIRST], { name: "x", description: "" })).devices;
    expect(alone?.group).toBeUndefined();
  });

  it("move together", () => {
    first.attachSync(ioas);
    second.attachSync(ioas);
    const hwpt = other.allocHwptSync(first);
    first.attachSync(hwpt);
    expect(ioas.iovaRanges().alignment).toBe(1n);
    second.attachSync(hwpt);
    first.detach();
    expect(() => first.attachSync(ioas), "the other holds the group").toThrow(einval);
    second.detach();
    first.attachSync(ioas);
  });

  it("move together or not at all", () => {
    first.attachSync(ioas);
    second.attachSync(ioas);
    other.mapSync(iommufd.allocMemory(PAGE), { iova: 0xfee0_0000n });
    expect(() => first.attachSync(other)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
    expect(other.iovaRanges().alignment).toBe(1n);
    expect(ioas.iovaRanges().alignment).toBe(PAGE);
    other.unmapSync(0xfee0_0000n, PAGE);
    second.attachSync(other);
    expect(ioas.iovaRanges().alignment).toBe(1n);
  });
});
