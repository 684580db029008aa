/** Profiles name a Linux, and its model refuses what that release does not know. */

import { describe, expect, it } from "vitest";
import { IOMMUFD_IOCTLS, type IommufdCall, NEWEST_RELEASE } from "../../lib/backend/ioctl.ts";
import { loadProfile } from "../../lib/backend/software/profile.ts";
import {
  captureProfile,
  Iommufd,
  type IommufdIoctl,
  parseProfile,
  shippedProfiles,
  softwareMachine,
} from "../../lib/index.ts";

const names = Object.values(IOMMUFD_IOCTLS).map(({ name }) => name);

/** The ioctls that are younger than the devices of VFIO, by their methods. */
const young = Object.entries<IommufdCall>(IOMMUFD_IOCTLS).flatMap(([method, { name, since }]) =>
  since === undefined ? [] : [{ method, name, since }],
);

/** Opens the model of QEMU's machine with a Linux. */
function open(kernelRelease: string | null | undefined): Iommufd {
  return Iommufd.open(softwareMachine({ ...loadProfile("qemu-vtd"), kernelRelease }));
}

/** Calls that are newer than the modelled Linux. */
function unknown(kernelRelease: string | null | undefined): IommufdIoctl[] {
  using iommufd = open(kernelRelease);
  return names.filter((name) => !iommufd.supports(name));
}

describe("the release of a profile", () => {
  it("decides which ioctls there are", () => {
    const since613 = ["IOMMU_IOAS_MAP_FILE", "IOMMU_VIOMMU_ALLOC", "IOMMU_VDEVICE_ALLOC"];
    const since614 = ["IOMMU_IOAS_CHANGE_PROCESS", "IOMMU_VEVENTQ_ALLOC", "IOMMU_HW_QUEUE_ALLOC"];
    expect(unknown("6.12.48-amd64")).toEqual(expect.arrayContaining([...since613, ...since614]));
    expect(unknown("6.12")).not.toContain("IOMMU_FAULT_QUEUE_ALLOC");
    expect(unknown("6.13")).toEqual(expect.arrayContaining(since614));
    for (const name of since613) expect(unknown("6.13")).not.toContain(name);
    expect(unknown("6.16.1")).toContain("IOMMU_HW_QUEUE_ALLOC");
    expect(unknown("6.17.0-rc1")).not.toContain("IOMMU_HW_QUEUE_ALLOC");
    expect(unknown("6.6")).toEqual(young.map(({ name }) => name));
    for (const newest of [NEWEST_RELEASE, `${NEWEST_RELEASE}.13-rc1`, "7.10", "10.0"])
      expect(unknown(newest)).toEqual([]);
  });

  it("is the newest where the profile names none, as those of older releases of this package", () => {
    for (const none of [undefined, null]) {
      expect(unknown(none)).toEqual([]);
      using iommufd = open(none);
      expect(iommufd.kernelRelease).toBe(NEWEST_RELEASE);
    }
  });

  it("is a version: else the profile is refused, with the path of the field", () => {
    for (const kernelRelease of ["", "6", "linux-6.12", "v6.12"])
      expect(() => parseProfile({ ...captured("7.2"), kernelRelease })).toThrow(
        'kernelRelease: must begin with a version of Linux such as "6.12"',
      );
  });

  it("is captured, of a model too", () => {
    expect(captured("6.12.48-amd64")).toMatchObject({ backend: "software", kernelRelease: "6.12.48-amd64" });
    expect(parseProfile(captured("6.12.48-amd64")).kernelRelease).toBe("6.12.48-amd64");
  });

  it.each(shippedProfiles())("is said by %s", (name) => {
    expect(loadProfile(name).kernelRelease).toMatch(/^7\.2/);
  });
});

describe("an ioctl that is younger than the modelled Linux", () => {
  it.each(young)("$name is refused, whatever is asked: ENOTTY", async ({ method, since: [major, minor] }) => {
    const codeOn = async (kernelRelease: string) => {
      const { backend } = softwareMachine({ ...loadProfile("qemu-vtd"), kernelRelease });
      const file = backend.openIommufd() as unknown as Record<string, (request: object) => unknown>;
      const outcome = await (async () => file[method]?.({}))().catch((error: unknown) => error);
      const { code, error } = { ...(outcome as { code?: string; error?: { code: string } } | undefined) };
      return error?.code ?? code;
    };
    expect(await codeOn(`${major}.${minor - 1}`)).toBe("ENOTTY");
    expect(await codeOn(`${major}.${minor}`)).not.toBe("ENOTTY");
  });
});

describe("a model of Linux 6.12", () => {
  it("refuses page tables with a fault queue, or for PASIDs, unless they are nested: EOPNOTSUPP", () => {
    const machine = softwareMachine({ ...loadProfile("qemu-vtd"), kernelRelease: "6.12" });
    const file = machine.backend.openIommufd();
    const device = machine.backend.openVfioDevice("/dev/vfio/devices/vfio0");
    const deviceId = device.bindIommufd(file);
    const ptId = file.ioasAlloc();
    const refused = expect.objectContaining({ code: "EOPNOTSUPP", syscall: "IOMMU_HWPT_ALLOC" });
    const queue = file.faultQueueAlloc();
    for (const flags of [4, 8, 12])
      expect(() => file.hwptAllocSync({ deviceId, ptId, flags, faultId: queue.id })).toThrow(refused);
    const parent = file.hwptAllocSync({ deviceId, ptId, flags: 1 });
    const data = { type: 1, bytes: new Uint8Array(24) };
    const nested = { deviceId, ptId: parent, faultId: queue.id, data };
    expect(() => file.hwptAllocSync({ ...nested, flags: 8 })).toThrow(refused);
    expect(file.hwptAllocSync({ ...nested, flags: 4 })).toBeGreaterThan(parent);
    const hwInfoRefused = expect.objectContaining({ code: "EOPNOTSUPP", syscall: "IOMMU_GET_HW_INFO" });
    expect(() => file.getHwInfo(deviceId, 64, 1)).toThrow(hwInfoRefused);
    expect(() => file.getHwInfo(99 as never, 64, 0)).toThrow(hwInfoRefused);
    expect(file.getHwInfo(deviceId, 64).type).toBe(1);
    queue.close();
    device.close();
    file.close();
  });
});

function captured(kernelRelease: string) {
  using iommufd = open(kernelRelease);
  return captureProfile(iommufd, iommufd.devices(), { name: "x", description: "" });
}
