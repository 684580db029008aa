/**
 * Mock devices, for features that QEMU's hardware lacks: dirty tracking, page requests, nesting with a driver's own
 * data, vIOMMUs,
 * PASIDs. On the kernel they are its own (CONFIG_IOMMUFD_TEST), made and driven by a helper program; on the model those of
 * profile `selftest`. Linux 6.12 answers the request for one with EINVAL.
 */

import { spawnSync } from "node:child_process";
import type { IommufdFile, VfioDeviceFile } from "../../lib/backend/backend.ts";
import { BoundDevice, NO_PASID } from "../../lib/backend/software/bound-device.ts";
import { FaultQueueObject } from "../../lib/backend/software/fault-queue.ts";
import { SelftestStage1 } from "../../lib/backend/software/iommus/selftest.ts";
import { NestedHwptObject, PagingHwptObject } from "../../lib/backend/software/page-tables.ts";
import type { SoftwareIommufdFile } from "../../lib/backend/software/software-iommufd.ts";
import { selftestEvent, selftestQueue } from "../../lib/backend/software/vevent-queue.ts";
import { isSystemError, systemError } from "../../lib/errors.ts";
import { type Hwpt, type Ioas, Iommufd, selectBackend } from "../../lib/index.ts";
import { Device } from "../../lib/iommufd/device.ts";
import type { DeviceId, DriverData, HwptId, ObjectId, PageTableId } from "../../lib/uapi.ts";
import { PROJECT } from "../e2e/command.ts";
import { openModel } from "../model.ts";
import { backendName, PAGE } from "./backend.ts";

/** Where a mock device can translate (MOCK_APERTURE_START). */
export const APERTURE = 1n << 24n;

/** A driver's structure of 32-bit words. */
export function words(type: number, ...values: number[]): DriverData {
  return { type, bytes: new Uint8Array(Uint32Array.from(values).buffer) };
}

/** struct iommu_hwpt_selftest: a nested HWPT whose IOTLB has that value in each entry. */
export const nestedSelftest = (iotlb: number) => words(0xdead, iotlb, 0);

/** Page requests of a device, each of the page after the one before. */
interface MockFaults {
  pasid?: number;
  groupId: number;
  /** IOMMU_PGFAULT_PERM_* */
  permissions: number;
  address: bigint;
  count?: number;
}

/** An iommufd that mock devices can be made on, and what they do. */
export interface MockMachine {
  readonly file: IommufdFile;
  readonly iommufd: Iommufd;
  /** Makes a device, which then is there like one that was bound. */
  openDevice(options?: { pasid?: boolean }): Device;
  /** DMA writes to the pages from an IOVA on whose bits are set. */
  write(hwpt: Hwpt, iova: bigint, bits: bigint): void;
  fault(device: Device, faults: MockFaults): void;
  /** Events of the vIOMMU that a device is behind. */
  event(device: Device, count: number): void;
  /** Whether an entry of the IOTLB of a nested page table has that value. */
  iotlbHas(hwpt: Hwpt, index: number, value: number): boolean;
  /** Whether an entry of the cache of a device has that value. */
  cacheHas(device: Device, index: number, value: number): boolean;
  /** Whether a PASID is attached to that HWPT; 0: to none. */
  pasidIsAttachedTo(device: Device, pasid: number, hwptId: HwptId | 0): boolean;
}

/** A machine with mock devices, of the backend that the suite runs on. */
export function openMockMachine(): MockMachine {
  return backendName === "kernel" ? new KernelMocks() : new ModelMocks();
}

class KernelMocks implements MockMachine {
  readonly file: IommufdFile;
  readonly iommufd: Iommufd;
  /** The page table of a device that nobody attached: a mock device always has one. */
  readonly #nothing: Ioas;
  /** Their own ids, by object id. */
  readonly #mocks = new Map<DeviceId, number>();

  constructor() {
    const selected = selectBackend({ backend: "kernel" });
    this.file = selected.backend.openIommufd();
    this.iommufd = new Iommufd(selected, this.file);
    this.#nothing = this.iommufd.allocIoas();
  }

  openDevice({ pasid = false } = {}): Device {
    const MOCK_FLAGS_DEVICE_PASID = 4;
    const flags = pasid ? MOCK_FLAGS_DEVICE_PASID : 0;
    const [mock = 0, id = 0] = this.#request("device", this.#nothing.id, flags);
    this.#mocks.set(id as DeviceId, mock);
    const pasids = new Set<number>();
    const attach = (ptId: PageTableId, which?: number) => {
      if (which === undefined) return this.#request("replace", mock, ptId)[0] as HwptId;
      const name = pasids.has(which) ? "pasid-replace" : "pasid-attach";
      const [hwptId] = this.#request(name, mock, which, ptId);
      pasids.add(which);
      return hwptId as HwptId;
    };
    const detach = (which?: number) => {
      if (which === undefined) attach(this.#nothing.id);
      else if (pasids.delete(which)) this.#request("pasid-detach", mock, which);
    };
    const file = {
      bindIommufd: () => id as DeviceId,
      attachIommufdPt: async (ptId: PageTableId, which?: number) => attach(ptId, which),
      attachIommufdPtSync: attach,
      detachIommufdPt: detach,
      close: () => {
        for (const which of pasids) detach(which);
        this.file.destroy(mock as ObjectId);
      },
    } satisfies Partial<VfioDeviceFile>;
    const noInterrupts = () => {
      throw new Error("a mock device has no interrupts");
    };
    return new Device(file as unknown as VfioDeviceFile, this.file, noInterrupts, this.iommufd, `mock ${id}`);
  }

  write(hwpt: Hwpt, iova: bigint, bits: bigint): void {
    this.#request("dirty", hwpt.id, iova, 64n * PAGE, PAGE, bits.toString(16));
  }

  fault(device: Device, { pasid = 0, groupId, permissions, address, count = 1 }: MockFaults): void {
    this.#request("fault", device.id, pasid, groupId, permissions, address, count);
  }

  event(device: Device, count: number): void {
    this.#request("event", device.id, count);
  }

  iotlbHas(hwpt: Hwpt, index: number, value: number): boolean {
    return this.#check("iotlb", hwpt.id, index, value);
  }

  cacheHas(device: Device, index: number, value: number): boolean {
    return this.#check("cache", device.id, index, value);
  }

  pasidIsAttachedTo(device: Device, pasid: number, hwptId: HwptId | 0): boolean {
    return this.#check("pasid-check", this.#mocks.get(device.id) ?? 0, pasid, hwptId);
  }

  /** Runs the helper; throws as an ioctl would where the kernel refuses. */
  #request(name: string, ...args: (number | bigint | string)[]): number[] {
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
  #check(name: "iotlb" | "cache" | "pasid-check", ...args: number[]): boolean {
    try {
      this.#request(name, ...args);
      return true;
    } catch (error) {
      if (isSystemError(error, "EINVAL")) return false;
      throw error;
    }
  }
}

class ModelMocks implements MockMachine {
  readonly file: IommufdFile;
  readonly iommufd: Iommufd;
  readonly #raw: SoftwareIommufdFile;
  readonly #unopened = { pasid: ["0000:00:01.0", "0000:00:02.0"], plain: ["0000:00:03.0", "0000:00:04.0"] };

  constructor() {
    const { machine, files } = openModel("selftest");
    this.file = machine.backend.openIommufd();
    this.iommufd = new Iommufd(machine, this.file);
    this.#raw = files[0] as SoftwareIommufdFile;
  }

  openDevice({ pasid = false } = {}): Device {
    return this.iommufd.openDevice(this.#unopened[pasid ? "pasid" : "plain"].shift() ?? "no more");
  }

  write(hwpt: Hwpt, iova: bigint, bits: bigint): void {
    for (let page = 0n; bits >> page > 0n; page++)
      if ((bits >> page) & 1n) this.#raw.objects.get(hwpt.id, PagingHwptObject).wrote(iova + page * PAGE);
  }

  fault(device: Device, { pasid = NO_PASID, groupId, permissions, address, count = 1 }: MockFaults): void {
    const queue = this.#raw.objects.get(device.id, BoundDevice).attachedTo(pasid)?.faultQueue;
    if (!(queue instanceof FaultQueueObject)) throw new Error("there is nowhere to send faults");
    const flags = pasid === NO_PASID ? 0 : 1;
    const fault = { flags, deviceId: device.id, pasid, groupId, permissions, length: 0 };
    for (let i = 0; i < count; i++) queue.report([{ ...fault, address: address + BigInt(i) * PAGE }]);
  }

  event(device: Device, count: number): void {
    const bound = this.#raw.objects.get(device.id, BoundDevice);
    const hwpt = bound.attachedTo(NO_PASID);
    const { vdevice } = bound;
    if (!(hwpt instanceof NestedHwptObject) || vdevice === undefined || hwpt.viommu !== vdevice.viommu)
      throw systemError("ENOENT", "event");
    for (let i = 0; i < count; i++) selftestQueue(vdevice.viommu).report(selftestEvent(vdevice.virtId));
  }

  iotlbHas(hwpt: Hwpt, index: number, value: number): boolean {
    const { stage1 } = this.#raw.objects.get(hwpt.id, NestedHwptObject);
    return stage1 instanceof SelftestStage1 && stage1.iotlb[index] === value;
  }

  cacheHas(device: Device, index: number, value: number): boolean {
    return this.#raw.objects.get(device.id, BoundDevice).cache[index] === value;
  }

  pasidIsAttachedTo(device: Device, pasid: number, hwptId: HwptId | 0): boolean {
    return (this.#raw.objects.get(device.id, BoundDevice).attachedTo(pasid)?.id ?? 0) === hwptId;
  }
}
