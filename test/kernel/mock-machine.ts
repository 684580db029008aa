/**
 * The kernel's mock devices as devices of this library, for what QEMU's hardware has not: dirty tracking, faults,
 * nesting with a driver's own data, vIOMMUs, PASIDs. Linux 6.12 answers the request for one with EINVAL.
 */

import { spawnSync } from "node:child_process";
import type { IommufdFile, VfioDeviceFile } from "../../lib/backend/backend.ts";
import type { DeviceId, DriverData, HwptId, ObjectId, PageTableId } from "../../lib/backend/uapi.ts";
import { isSystemError, systemError } from "../../lib/errors.ts";
import { type Ioas, Iommufd, selectBackend } from "../../lib/index.ts";
import { Device } from "../../lib/iommufd/device.ts";
import { PROJECT } from "../e2e/command.ts";

/** Where a mock device can translate (MOCK_APERTURE_START). */
export const APERTURE = 1n << 24n;

/** A mock device that PASIDs can be attached to (MOCK_FLAGS_DEVICE_PASID). */
export const WITH_PASID = 4;

/** A driver's structure of 32-bit words. */
export function words(type: number, ...values: number[]): DriverData {
  return { type, bytes: new Uint8Array(Uint32Array.from(values).buffer) };
}

/** struct iommu_hwpt_selftest: a nested HWPT whose IOTLB has that value in each entry. */
export const nestedSelftest = (iotlb: number) => words(0xdead, iotlb, 0);

/** An iommufd that mock devices can be made on. */
export class MockMachine {
  readonly file: IommufdFile;
  readonly iommufd: Iommufd;
  /** What a device is attached to that is attached to nothing: a mock device always is to something. */
  readonly #nothing: Ioas;
  /** Their own ids, by object id. */
  readonly #mocks = new Map<DeviceId, number>();

  constructor() {
    const selected = selectBackend({ backend: "kernel" });
    this.file = selected.backend.openIommufd();
    this.iommufd = new Iommufd(selected, this.file);
    this.#nothing = this.iommufd.allocIoas();
  }

  /** Runs the helper; throws as an ioctl would where the kernel refuses. */
  request(name: string, ...args: (number | bigint | string)[]): number[] {
    const { status, stdout, stderr } = spawnSync(
      `${PROJECT}build/test/mock-device`,
      [name, ...args.map(String)],
      { stdio: ["ignore", "pipe", "pipe", this.iommufd.fd], encoding: "utf8" },
    );
    if (status === 1) throw systemError(Number(stderr), `mock-device ${name}`);
    if (status !== 0) throw new Error(`mock-device: ${stderr}`);
    return stdout.split(/\s+/).filter(Boolean).map(Number);
  }

  /** Whether the kernel says that something is so: EINVAL means that it is not. */
  check(name: "iotlb" | "cache" | "pasid-check", ...args: number[]): boolean {
    try {
      this.request(name, ...args);
      return true;
    } catch (error) {
      if (isSystemError(error, "EINVAL")) return false;
      throw error;
    }
  }

  /** Makes a device, which then is there like one that was bound. */
  openDevice(flags = 0): Device {
    const [mock = 0, id = 0] = this.request("device", this.#nothing.id, flags);
    this.#mocks.set(id as DeviceId, mock);
    const pasids = new Set<number>();
    const attach = (ptId: PageTableId, pasid?: number) => {
      if (pasid === undefined) return this.request("replace", mock, ptId)[0] as HwptId;
      const [hwptId] = this.request(pasids.has(pasid) ? "pasid-replace" : "pasid-attach", mock, pasid, ptId);
      pasids.add(pasid);
      return hwptId as HwptId;
    };
    const detach = (pasid?: number) => {
      if (pasid === undefined) attach(this.#nothing.id);
      else if (pasids.delete(pasid)) this.request("pasid-detach", mock, pasid);
    };
    const file = {
      bindIommufd: () => id as DeviceId,
      attachIommufdPt: async (ptId: PageTableId, pasid?: number) => attach(ptId, pasid),
      attachIommufdPtSync: attach,
      detachIommufdPt: detach,
      close: () => {
        for (const pasid of pasids) detach(pasid);
        this.file.destroy(mock as ObjectId);
      },
    } satisfies Partial<VfioDeviceFile>;
    const noInterrupts = () => {
      throw new Error("a mock device has no interrupts");
    };
    return new Device(file as unknown as VfioDeviceFile, this.file, noInterrupts, this.iommufd, `mock ${id}`);
  }

  /** Whether a PASID is attached to that HWPT; 0: to none. */
  pasidIsAttachedTo(device: Device, pasid: number, hwptId: HwptId | 0): boolean {
    return this.check("pasid-check", this.#mocks.get(device.id) ?? 0, pasid, hwptId);
  }
}
