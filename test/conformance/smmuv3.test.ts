/** The objects that an SMMUv3 gives to a guest: nested page tables on a vIOMMU, devices, commands (drivers/iommu/arm/arm-smmu-v3). */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Device, Hwpt, Ioas, Iommufd, Viommu } from "../../lib/index.ts";
import { backendName, FIRST, open, SECOND } from "./backend.ts";
import { iommu } from "./iommus.ts";

const SMMUV3 = 2;
const STREAM = 8n;
const [V, BYPASS, STAGE_1] = [1n, 4n << 1n, 5n << 1n] as const;
const [TLBI_NSNH_ALL, CFGI_STE, CFGI_CD_ALL] = [0x30n, 0x3n, 0x6n] as const;
const ofStream = (id: bigint) => id << 32n;

let iommufd: Iommufd;
let device: Device;
let ioas: Ioas;
let parent: Hwpt;
let viommu: Viommu;

beforeEach(() => {
  iommufd = open();
  if (iommu.hwInfo.type !== SMMUV3) return;
  device = iommufd.openDevice(FIRST);
  ioas = iommufd.allocIoas();
  parent = ioas.allocHwptSync(device, { nestParent: true });
  viommu = parent.allocViommu(device, "arm-smmuv3");
});

afterEach(() => iommufd.close());

const refused = (code: string, syscall: string) => expect.objectContaining({ code, syscall });
const nested = (...ste: [bigint, bigint]) =>
  parent.allocNestedSync(device, { type: "arm-smmuv3", ste }, { viommu });

describe.runIf(iommu.hwInfo.type === SMMUV3)(`a vIOMMU of an SMMUv3 (${backendName})`, () => {
  it("is made on nest parents alone: EINVAL, of that type alone: EOPNOTSUPP", () => {
    const plain = ioas.allocHwptSync(device);
    expect(() => plain.allocViommu(device, "arm-smmuv3")).toThrow(refused("EINVAL", "IOMMU_VIOMMU_ALLOC"));
    expect(() => parent.allocViommu(device, "tegra241-cmdqv")).toThrow(
      refused("EOPNOTSUPP", "IOMMU_VIOMMU_ALLOC"),
    );
  });

  it("is what nested page tables are made on, not the nest parent: EOPNOTSUPP", () => {
    for (const base of [parent, ioas.allocHwptSync(device)])
      expect(() => base.allocNestedSync(device, { type: "arm-smmuv3", ste: [0n, 0n] })).toThrow(
        refused("EOPNOTSUPP", "IOMMU_HWPT_ALLOC"),
      );
  });

  it("takes the data of an SMMU, whole: EINVAL; no flags: EOPNOTSUPP", () => {
    const make = (type: number, length: number, options = {}) =>
      parent.allocNestedSync(device, { type, bytes: new Uint8Array(length) }, { viommu, ...options });
    for (const [type, length] of [
      [1, 24],
      [2, 8],
      [2, 24],
      [3, 32],
    ] as const)
      expect(() => make(type, length), `${type} ${length}`).toThrow(refused("EINVAL", "IOMMU_HWPT_ALLOC"));
    expect(() => make(2, 16, { pasid: true })).toThrow(refused("EOPNOTSUPP", "IOMMU_HWPT_ALLOC"));
    expect(make(2, 16).id).toBeGreaterThan(viommu.id);
  });

  it("takes no stream table entry that a guest must not set: EIO", () => {
    const STRW = 3n << 30n;
    const EATS_SPLIT = 2n << 28n;
    for (const [first, second] of [
      [V | (6n << 1n), 0n],
      [V | STAGE_1, STRW],
      [V | STAGE_1, EATS_SPLIT],
      [V | STAGE_1 | (1n << 52n), 0n],
      [V | (1n << 1n), 0n],
    ] as const)
      expect(() => nested(first, second), `${first} ${second}`).toThrow(refused("EIO", "IOMMU_HWPT_ALLOC"));
    // One that is not valid is not looked at any further.
    for (const [first, second] of [
      [6n << 1n, STRW],
      [0n, 0n],
      [V, 0n],
      [V | BYPASS, 0n],
      [V | STAGE_1, 1n << 28n],
    ] as const)
      expect(nested(first, second).id).toBeGreaterThan(viommu.id);
  });

  it("takes commands that a guest may give, and says which it may not: EIO", () => {
    viommu.allocVdevice(device, STREAM);
    expect(
      viommu.invalidate([
        [TLBI_NSNH_ALL, 0n],
        [CFGI_CD_ALL | ofStream(STREAM), 0n],
      ]),
    ).toBe(2);
    for (const bad of [CFGI_STE | ofStream(STREAM), CFGI_CD_ALL | ofStream(9n)])
      expect(() =>
        viommu.invalidate([
          [TLBI_NSNH_ALL, 0n],
          [bad, 0n],
        ]),
      ).toThrow(
        expect.objectContaining({
          ...{ code: "EIO", syscall: "IOMMU_HWPT_INVALIDATE" },
          request: expect.objectContaining({ index: 1 }),
        }),
      );
  });

  it("takes commands of any length that have 16 bytes: EINVAL of none, E2BIG of more", () => {
    const command = (entryLength: number, ...bytes: number[]) => ({
      ...{ type: 1, entryLength },
      bytes: Uint8Array.from({ length: entryLength }, (_, index) => bytes[index] ?? 0),
    });
    expect(viommu.invalidate(command(8, 0x30))).toBe(1);
    expect(viommu.invalidate(command(24, 0x30))).toBe(1);
    const invalidate = (code: string) => refused(code, "IOMMU_HWPT_INVALIDATE");
    const long = command(24, 0x30);
    long.bytes[23] = 1;
    expect(() => viommu.invalidate(long)).toThrow(invalidate("E2BIG"));
    expect(() => viommu.invalidate({ ...command(16), bytes: new Uint8Array(0) })).toThrow(
      invalidate("EINVAL"),
    );
    expect(() => viommu.invalidate({ ...command(16, 0x30), type: 0 })).toThrow(invalidate("EINVAL"));
    expect(() => nested(V, 0n).invalidate(command(16, 0x30))).toThrow(invalidate("EOPNOTSUPP"));
  });

  it("has a vDEVICE before a device's stage 1 translates: ENOENT; what is bypassed or aborted needs none", () => {
    const stage1 = nested(V | STAGE_1, 0n);
    const attach = refused("ENOENT", "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
    expect(() => device.attachSync(stage1)).toThrow(attach);
    const second = iommufd.openDevice(SECOND);
    viommu.allocVdevice(second, 16n);
    expect(() => device.attachSync(stage1)).toThrow(attach);
    for (const one of [nested(0n, 0n), nested(V | BYPASS, 0n)]) device.attachSync(one);
    viommu.allocVdevice(device, STREAM);
    device.attachSync(stage1);
    expect(device.attachedTo).toBe(stage1);
  });

  it("has no hardware queues: EOPNOTSUPP", () => {
    expect(() => viommu.allocHwQueue({ type: "tegra241-cmdqv", index: 0, iova: 0n, length: 4096n })).toThrow(
      refused("EOPNOTSUPP", "IOMMU_HW_QUEUE_ALLOC"),
    );
  });

  it("keeps stage 1 apart from dirty tracking and nest parents: EOPNOTSUPP", () => {
    for (const options of [
      { nestParent: true, pasid: true },
      { nestParent: true, dirtyTracking: true },
    ])
      expect(() => ioas.allocHwptSync(device, options)).toThrow(refused("EOPNOTSUPP", "IOMMU_HWPT_ALLOC"));
    expect(ioas.allocHwptSync(device, { pasid: true }).id).toBeGreaterThan(viommu.id);
  });
});
