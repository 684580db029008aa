/** DMA of modelled devices: what is mapped, what may be done, what is dirty, who is asked, and the erratum. */

import { beforeEach, describe, expect, it } from "vitest";
import { loadProfile, type Profile } from "../../lib/backend/software/profile.ts";
import {
  type Device,
  DmaFault,
  type DmaMemory,
  type Hwpt,
  type Ioas,
  Iommufd,
  type LinuxErrorCode,
  type SoftwareMachine,
  type Syscall,
  softwareMachine,
} from "../../lib/index.ts";

const BDF = "0000:6a:01.0";
const PAGE = 4096n;
const hello = new TextEncoder().encode("hello");

/** A shipped profile, changed. */
function profile(name: string, change: (profile: Profile) => void = () => {}): Profile {
  const copy = structuredClone(loadProfile(name));
  change(copy);
  return copy;
}

let host: SoftwareMachine;
let iommufd: Iommufd;
let device: Device;
let ioas: Ioas;

function open(machine: Profile): void {
  host = softwareMachine(machine);
  iommufd = Iommufd.open(host);
  device = iommufd.openDevice(BDF);
  ioas = iommufd.allocIoas();
}

const read = (iova: bigint, length: number) => host.dmaRead(BDF, iova, length);
const write = (iova: bigint, bytes = hello) => host.dmaWrite(BDF, iova, bytes);
const stopped = (reason: string, iova?: bigint) =>
  expect.objectContaining({
    code: "ERR_IOMMUFD_DMA_FAULT",
    reason,
    ...(iova !== undefined && { iova }),
  });

describe("DMA", () => {
  beforeEach(() => open(profile("sapphire-rapids")));

  it("reads and writes memory that is mapped, across pages and mappings", async () => {
    const memory = iommufd.allocMemory(4n * PAGE);
    device.attachSync(ioas);
    ioas.mapSync(memory, { iova: 0x10_0000n, offset: PAGE, length: 2n * PAGE });
    ioas.mapSync(memory, { iova: 0x10_2000n, offset: 0n, length: PAGE });
    const bytes = Uint8Array.from({ length: 8192 }, (_, index) => index ^ (index >> 8));
    await write(0x10_0800n, bytes);
    const seen = new Uint8Array(memory.buffer);
    expect(seen.slice(4096 + 0x800, 3 * 4096)).toEqual(bytes.slice(0, 8192 - 0x800));
    expect(seen.slice(0, 0x800)).toEqual(bytes.slice(8192 - 0x800));
    expect(await read(0x10_0800n, 8192)).toEqual(bytes);
  });

  it("is stopped where nothing is attached, mapped or allowed", async () => {
    const memory = iommufd.allocMemory(4n * PAGE);
    await expect(read(0n, 1)).rejects.toEqual(stopped("not-attached"));
    device.attachSync(ioas);
    await expect(write(0x1000n)).rejects.toEqual(stopped("not-mapped", 0x1000n));
    ioas.mapSync(memory, { iova: 0x1000n, length: PAGE, writable: false });
    ioas.mapSync(memory, { iova: 0x3000n, length: PAGE, readable: false });
    await expect(write(0x1000n)).rejects.toEqual(stopped("no-permission"));
    await expect(read(0x3000n, 1)).rejects.toEqual(stopped("no-permission"));
    await write(0x3ffbn);
    await expect(write(0x3ffcn)).rejects.toEqual(stopped("not-mapped", 0x4000n));
    expect(await read(0x1000n, 4096)).toEqual(new Uint8Array(memory.buffer, 0, 4096));
    ioas.unmapSync(0x1000n, PAGE);
    await expect(read(0x1000n, 1)).rejects.toBeInstanceOf(DmaFault);
    device.detach();
    await expect(read(0x3000n, 1)).rejects.toEqual(stopped("not-attached"));
    device.close();
    await expect(read(0x3000n, 1)).rejects.toMatchObject({ code: "ERR_IOMMUFD_NO_DEVICE" });
    await expect(host.dmaRead("0000:00:1f.0", 0n, 1)).rejects.toMatchObject({
      code: "ERR_IOMMUFD_NO_DEVICE",
    });
  });

  it("goes through files and copies to the same memory", async () => {
    const memory = iommufd.allocMemory(4n * PAGE);
    device.attachSync(ioas);
    ioas.mapFileSync(memory, { iova: 0x8000n, start: 2n * PAGE, length: PAGE });
    const other = iommufd.allocIoas();
    other.copyFromSync(ioas, { sourceIova: 0x8000n, length: PAGE, iova: 0n });
    device.attachSync(other);
    await write(0x100n);
    expect(new Uint8Array(memory.buffer, 2 * 4096 + 0x100, 5)).toEqual(hello);
  });

  it("with a PASID goes through what that is attached to", async () => {
    const [one, two] = [iommufd.allocMemory(PAGE), iommufd.allocMemory(PAGE)];
    const other = iommufd.allocIoas();
    device.attachSync(ioas.allocHwptSync(device, { pasid: true }));
    device.attachSync(other.allocHwptSync(device, { pasid: true }), { pasid: 5 });
    ioas.mapSync(one, { iova: 0n });
    other.mapSync(two, { iova: 0n });
    await host.dmaWrite(BDF, 0n, hello, { pasid: 5 });
    expect([one, two].map(({ buffer }) => new Uint8Array(buffer)[0])).toEqual([0, hello[0]]);
    await expect(host.dmaRead(BDF, 0n, 1, { pasid: 6 })).rejects.toEqual(stopped("not-attached"));
  });
});

describe("dirty tracking", () => {
  let hwpt: Hwpt;

  beforeEach(() => {
    open(profile("sapphire-rapids"));
    hwpt = ioas.allocHwptSync(device, { dirtyTracking: true });
    device.attachSync(hwpt);
    ioas.mapSync(iommufd.allocMemory(64n * PAGE), { iova: 1n << 30n });
  });

  const dirty = (more = {}) =>
    hwpt
      .readDirtyBitmapSync({ iova: 1n << 30n, length: 64n * PAGE, ...more })
      .reduceRight((bits, byte) => (bits << 8n) | BigInt(byte), 0n);

  it("tells the pages that DMA wrote to, once, from when it starts", async () => {
    await write(1n << 30n);
    hwpt.setDirtyTracking(true);
    expect(dirty()).toBe(0n);
    await write((1n << 30n) + 4093n);
    await write((1n << 30n) + 63n * PAGE);
    await read((1n << 30n) + 8n * PAGE, 5);
    expect(dirty({ keep: true })).toBe((1n << 63n) | 3n);
    expect(dirty({ pageSize: 8n * PAGE })).toBe(0x81n);
    expect(dirty()).toBe(0n);
    hwpt.setDirtyTracking(false);
    await write(1n << 30n);
    expect(dirty()).toBe(0n);
  });

  it("counts in smaller pages too, and forgets what is unmapped", async () => {
    hwpt.setDirtyTracking(true);
    await write((1n << 30n) + PAGE);
    expect(dirty({ pageSize: 2048n, keep: true, length: 4n * PAGE })).toBe(0b1100n);
    ioas.unmapSync(1n << 30n, 64n * PAGE);
    expect(dirty()).toBe(0n);
  });
});

describe("page requests", () => {
  beforeEach(() =>
    open(
      profile("sapphire-rapids", ({ devices }) => {
        for (const each of devices) each.pri = true;
      }),
    ),
  );

  it("bring a page in, and the access goes through", async () => {
    using queue = iommufd.allocFaultQueue();
    device.attachSync(ioas.allocHwptSync(device, { faultQueue: queue }));
    const written = write(0x5123n);
    for await (const group of queue) {
      expect(group).toMatchObject({
        deviceId: device.id,
        pasid: undefined,
        faults: [{ address: 0x5000n, permissions: { read: false, write: true } }],
      });
      ioas.mapSync(iommufd.allocMemory(PAGE), { iova: group.faults[0]?.address ?? 0n });
      group.respond("success");
      break;
    }
    await written;
    expect(await read(0x5123n, 5)).toEqual(hello);
  });

  it("that are refused, not answered or answered in vain stop it", async () => {
    const queue = iommufd.allocFaultQueue();
    device.attachSync(ioas.allocHwptSync(device, { faultQueue: queue }));
    const refused = expect(write(0x5000n)).rejects.toEqual(stopped("not-mapped"));
    for await (const group of queue) {
      group.respond("invalid");
      break;
    }
    await refused;
    const inVain = expect(read(0x6000n, 1)).rejects.toEqual(stopped("not-mapped"));
    for (let answered = 0; answered < 16; answered++) {
      for await (const group of queue) {
        group.respond("success");
        break;
      }
    }
    await inVain;
    const unanswered = expect(write(0x7000n)).rejects.toEqual(stopped("not-mapped"));
    queue.close();
    await unanswered;
  });
});

describe("nested translation", () => {
  /** Guest-physical: where memory is, where the ROM is, and the page that IOVA 0x1000 leads to. */
  const [RAM, ROM, TARGET] = [0n, 0xf_0000n, 0x5000n] as const;
  const GUEST = { type: "vtd-s1", flags: 0n, pgtblAddr: ROM, addrWidth: 48 } as const;
  let ram: DmaMemory;
  let rom: DmaMemory;

  /** A page table of four levels in the ROM: IOVA 0x1000 is `TARGET`, 0x2000 is read-only, 0x3000 beyond memory. */
  function writeTable(entries = new BigUint64Array(rom.buffer)): void {
    for (const level of [0, 1, 2]) entries[level * 512] = (ROM + BigInt(level + 1) * PAGE) | 3n;
    entries[3 * 512 + 1] = TARGET | 3n;
    entries[3 * 512 + 2] = TARGET | 1n;
    entries[3 * 512 + 3] = 0x8000_0000n | 3n;
    entries[2 * 512 + 1] = 0n | 3n | (1n << 7n); // 2 MiB at guest-physical 0
  }

  /** Attaches the device to the guest's table; the ROM is mapped read-only, or for writing, or not at all. */
  function nest(machine: Profile, map: "read-only" | "writable" | "not"): void {
    open(machine);
    [ram, rom] = [iommufd.allocMemory(16n * PAGE), iommufd.allocMemory(4n * PAGE)];
    const parent = ioas.allocHwptSync(device, { nestParent: true });
    ioas.mapSync(ram, { iova: RAM });
    if (map !== "not") ioas.mapSync(rom, { iova: ROM, writable: map === "writable" });
    writeTable();
    device.attachSync(parent.allocNestedSync(device, GUEST));
  }

  /** Hardware with the erratum under a kernel that has not heard of it. */
  const unaware = profile("sapphire-rapids", ({ iommus }) => {
    for (const iommu of Object.values(iommus)) {
      iommu.erratum772415 = true;
      if (iommu.hwInfo.type === "intel-vtd") iommu.hwInfo.flags = [];
    }
  });

  const untouched = () => {
    const expected = new BigUint64Array(4 * 512);
    writeTable(expected);
    return Buffer.compare(new Uint8Array(rom.buffer), new Uint8Array(expected.buffer)) === 0;
  };

  it("walks the guest's table, and marks what it used", async () => {
    nest(profile("sapphire-rapids"), "writable");
    await write(0x1010n);
    expect(new Uint8Array(ram.buffer, Number(TARGET) + 0x10, 5)).toEqual(hello);
    const entries = new BigUint64Array(rom.buffer);
    expect([0, 512, 1024].map((index) => (entries[index] as bigint) & 0x60n)).toEqual([0x20n, 0x20n, 0x20n]);
    expect((entries[3 * 512 + 1] as bigint) & 0x60n).toBe(0x60n);
    expect(await read(0x2010n, 5)).toEqual(hello);
    expect((entries[3 * 512 + 2] as bigint) & 0x60n).toBe(0x20n);
    expect(await read(0x20_5010n, 5), "a large page").toEqual(hello);
  });

  it("stops what either stage does not let through", async () => {
    nest(profile("sapphire-rapids"), "writable");
    await expect(write(0x2000n)).rejects.toEqual(stopped("first-stage-read-only"));
    await expect(read(0x4000n, 1)).rejects.toEqual(stopped("not-present"));
    await expect(read(1n << 39n, 1)).rejects.toEqual(stopped("not-present"));
    await expect(read(0x3000n, 1)).rejects.toEqual(stopped("not-mapped"));
    await expect(read(1n << 47n, 1)).rejects.toEqual(stopped("not-canonical"));
  });

  it("with the erratum changes a ROM that is mapped read-only", async () => {
    nest(unaware, "read-only");
    expect(untouched()).toBe(true);
    await write(0x1000n);
    expect(untouched()).toBe(false);
    expect(new Uint8Array(ram.buffer, Number(TARGET), 5)).toEqual(hello);
  });

  it("with the erratum and bypassRo leaves the ROM as it is, and the access is refused", async () => {
    expect(() => nest(profile("sapphire-rapids"), "read-only")).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "IOMMU_IOAS_MAP" }),
    );
    nest(profile("sapphire-rapids"), "not");
    await expect(write(0x1000n)).rejects.toEqual(stopped("first-stage-out-of-reach"));
    expect(untouched()).toBe(true);
    expect(new Uint8Array(ram.buffer, Number(TARGET), 5)).toEqual(new Uint8Array(5));
  });

  it("without the erratum leaves the ROM as it is without bypassRo", async () => {
    nest(profile("vtd-no-erratum"), "read-only");
    await expect(write(0x1000n)).rejects.toEqual(stopped("first-stage-out-of-reach"));
    expect(untouched()).toBe(true);
  });
});

describe("what a test can do to a machine", () => {
  it("makes the next call fail, or each n-th, and nothing of it happen", async () => {
    open(profile("sapphire-rapids"));
    const memory = iommufd.allocMemory(PAGE);
    host.failNext("IOMMU_IOAS_MAP", "ENOMEM");
    await expect(ioas.map(memory, { iova: 0n })).rejects.toMatchObject({
      code: "ENOMEM",
      syscall: "IOMMU_IOAS_MAP",
    });
    expect(memory.mappings).toBe(0);
    ioas.mapSync(memory, { iova: 0n });
    host.failEvery("IOMMU_IOAS_UNMAP", 3, "EINVAL");
    const outcomes = Array.from({ length: 7 }, () => {
      try {
        ioas.unmapSync(0n, PAGE);
        ioas.mapSync(memory, { iova: 0n });
        return "done";
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
    });
    expect(outcomes).toEqual(["done", "done", "EINVAL", "done", "done", "EINVAL", "done"]);
    host.clearFailures();
    for (const syscall of [
      "IOMMU_DESTROY",
      "IOMMU_IOAS_ALLOC",
      "IOMMU_FAULT_QUEUE_ALLOC",
      "VFIO_DEVICE_BIND_IOMMUFD",
    ] as const)
      host.failNext(syscall, "EFAULT");
    expect(() => iommufd.allocIoas()).toThrow(expect.objectContaining({ code: "EFAULT" }));
    expect(() => iommufd.allocFaultQueue()).toThrow(expect.objectContaining({ code: "EFAULT" }));
    expect(() => ioas.close()).toThrow(expect.objectContaining({ code: "EFAULT", syscall: "IOMMU_DESTROY" }));
    ioas.close();
    expect(() => host.failEvery("IOMMU_IOAS_MAP", 0, "ENOMEM")).toThrow(RangeError);
  });

  it("fails calls by the kernel's names alone, with Linux's errors", () => {
    open(profile("sapphire-rapids"));
    for (const call of ["ioasMap", "IOMMU_IOAS_MAPP", "toString", undefined])
      expect(() => host.failNext(call as Syscall, "ENOMEM")).toThrow(/^syscall must be a call such as/);
    for (const code of ["ENOMEMORY", "toString", undefined])
      expect(() => host.failEvery("IOMMU_IOAS_MAP", 1, code as LinuxErrorCode)).toThrow(
        /^code must be a Linux error/,
      );
    // @ts-expect-error a name that there is not
    expect(() => host.failNext("IOMMU_IOAS_MAPP", "ENOMEM")).toThrow(RangeError);
    ioas.mapSync(iommufd.allocMemory(PAGE), { iova: 0n });
  });

  it("has a limit on locked memory: ENOMEM past it, and all given back", () => {
    open(
      profile("sapphire-rapids", (machine) => {
        machine.memlock = 4n * PAGE;
      }),
    );
    const memory = iommufd.allocMemory(8n * PAGE);
    ioas.mapSync(memory, { iova: 0n, length: 5n * PAGE });
    expect(host.pinned).toBe(0n);
    expect(() => device.attachSync(ioas), "what no page table maps is not pinned").toThrow(
      expect.objectContaining({ code: "ENOMEM" }),
    );
    ioas.unmapSync(0n, 5n * PAGE);
    device.attachSync(ioas);
    ioas.mapSync(memory, { iova: 0n, length: 3n * PAGE });
    expect(() => ioas.mapSync(memory, { iova: 1n << 20n, length: 2n * PAGE })).toThrow(
      expect.objectContaining({ code: "ENOMEM", syscall: "IOMMU_IOAS_MAP" }),
    );
    expect(host.pinned).toBe(3n * PAGE);
    device.detach();
    expect(host.pinned).toBe(0n);
    device.attachSync(ioas);
    iommufd.close();
    expect(host.pinned).toBe(0n);
  });
});
