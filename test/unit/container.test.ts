/** The container, on modelled machines. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemError } from "../../lib/errors.ts";
import {
  ApplyError,
  Container,
  type ContainerOptions,
  type Device,
  type DmaMemory,
  Iommufd,
  type MemorySection,
  parseProfile,
  readMemoryMap,
  selectBackend,
} from "../../lib/index.ts";
import { readCapture } from "../fixtures/captures.ts";
import { type IommuJson, profileJson } from "../fixtures/profiles.ts";

const sections = readMemoryMap(readCapture("q35-nest", "mtree"), { source: "q35-nest.mtree" });
const [RAM, ROM] = sections as [MemorySection, MemorySection, ...MemorySection[]];

let iommufd: Iommufd;
let memory: DmaMemory;
let warnings: string[];

beforeEach(() => {
  iommufd = Iommufd.open({ profile: "sapphire-rapids" });
  memory = iommufd.allocMemory(1n << 28n);
  warnings = [];
});

afterEach(() => iommufd.close());

function container(options: ContainerOptions = {}, of = iommufd): Container {
  return new Container(of, { onWarning: (message) => warnings.push(message), ...options });
}

/** An iommufd on a machine with a second IOMMU, which is like the first but for the changes. */
function twoIommus(change: (iommu: IommuJson, device: Record<string, unknown>) => void): {
  iommufd: Iommufd;
  devices: [Device, Device];
} {
  const json = profileJson("sapphire-rapids");
  const second = structuredClone(json.iommus["dmar0"] as IommuJson);
  change(second, json.devices[1] as Record<string, unknown>);
  json.iommus["dmar1"] = second;
  (json.devices[1] as { iommu: string }).iommu = "dmar1";
  const machine = Iommufd.open({ profile: parseProfile(json) });
  const [first, other] = machine.devices() as [string, string];
  return { iommufd: machine, devices: [machine.openDevice(first), machine.openDevice(other)] };
}

describe("addDevice", () => {
  it("leaves read-only sections out where an IOMMU gives too little data to tell", async () => {
    const device = iommufd.openDevice(iommufd.devices()[0] as string);
    const info = device.hwInfo();
    vi.spyOn(device, "hwInfo").mockReturnValue({ ...info, data: info.data.slice(0, 3) });
    await using cautious = container({ nesting: true });
    await cautious.addDevice(device);
    expect(cautious.bypassRo).toBe(true);
  });

  it("gives devices behind one IOMMU one domain", async () => {
    const [first, second] = iommufd.devices().map((bdf) => iommufd.openDevice(bdf)) as [Device, Device];
    await using shared = container({ nesting: true });
    await shared.addDevice(first);
    await shared.addDevice(second);
    expect(first.attachedTo).toBe(second.attachedTo);
    expect(shared.devices).toEqual([first, second]);
    expect(warnings).toEqual([]);
  });

  it("sets bypassRo only where nesting is wanted and the erratum is there", async () => {
    for (const [profile, nesting, setting, expected] of [
      ["sapphire-rapids", true, "auto", true],
      ["sapphire-rapids", false, "auto", false],
      ["sapphire-rapids", true, "off", false],
      ["sapphire-rapids", false, "on", true],
      ["vtd-no-erratum", true, "auto", false],
      ["none", false, "auto", false],
    ] as const) {
      using machine = Iommufd.open({ profile });
      await using each = container({ nesting, bypassRo: setting }, machine);
      await each.addDevice(machine.openDevice(machine.devices()[0] as string));
      expect(each.bypassRo, `${profile} ${nesting} ${setting}`).toBe(expected);
    }
  });

  it("keeps bypassRo after the device has left", async () => {
    const device = iommufd.openDevice("6a:01.0");
    await using each = container({ nesting: true });
    await each.addDevice(device);
    await each.removeDevice(device);
    expect(each.bypassRo).toBe(true);
    expect(each.plan(sections).skipped.filter(({ reason }) => reason === "read-only")).toHaveLength(3);
  });

  it("makes another domain where a device cannot use the first (EINVAL), and warns if dirty tracking differs", async () => {
    const { iommufd: machine, devices } = twoIommus((iommu, device) => {
      delete iommu.domains["dirtyTracking"];
      device["outCapabilities"] = [];
    });
    await using each = container({}, machine);
    await each.addDevice(devices[0]);
    await each.addDevice(devices[1]);
    expect(devices[0].attachedTo).not.toBe(devices[1].attachedTo);
    expect(warnings).toEqual([expect.stringContaining("does not track dirty pages")]);
    await each.apply(sections, () => memoryOf(machine));
    machine.close();
  });

  it("fails for good on any other error, and frees nothing that others use", async () => {
    const { iommufd: machine, devices } = twoIommus((_, device) => {
      device["reservedRegions"] = [{ start: "0x0", last: "0xfff" }];
    });
    await using each = container({}, machine);
    await each.addDevice(devices[0]);
    await each.regionAdd(RAM, memoryOf(machine));
    await expect(each.addDevice(devices[1])).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(each.devices).toEqual([devices[0]]);
    machine.close();
  });

  it("frees the new domain where attaching to it fails, and is as it was before", async () => {
    const { iommufd: machine, devices } = twoIommus((_, device) => {
      device["reservedRegions"] = [{ start: "0x0", last: "0xfff" }];
    });
    await using each = container({ nesting: true }, machine);
    await each.regionAdd(RAM, memoryOf(machine));
    const before = each.iovaRanges();
    await expect(each.addDevice(devices[1])).rejects.toMatchObject({
      code: "EADDRINUSE",
      syscall: "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
    });
    expect(each.iovaRanges()).toEqual(before);
    expect(each.bypassRo).toBe(false);
    expect(each.devices).toEqual([]);
    machine.close();
  });

  it("refuses nesting on an IOMMU that cannot nest", async () => {
    using machine = Iommufd.open({ profile: "none" });
    await using each = container({ nesting: true }, machine);
    await expect(each.addDevice(machine.openDevice("01:00.0"))).rejects.toMatchObject({ code: "EOPNOTSUPP" });
    expect(each.devices).toEqual([]);
  });

  it("refuses a nest parent where read-only memory is mapped, and keeps able to unmap it", async () => {
    await using each = container({ nesting: true });
    await each.regionAdd(ROM, memory);
    await expect(each.addDevice(iommufd.openDevice("6a:01.0"))).rejects.toMatchObject({
      code: "EINVAL",
      syscall: "IOMMU_HWPT_ALLOC",
    });
    await expect(each.regionDel(ROM)).resolves.toMatchObject({ iova: ROM.start });
    expect(memory.mappings).toBe(0);
  });

  it("refuses a device twice, and to remove one that is not there", async () => {
    const device = iommufd.openDevice("6a:01.0");
    await using each = container();
    await expect(each.removeDevice(device)).rejects.toThrow("device must be in this container");
    await each.addDevice(device);
    await expect(each.addDevice(device)).rejects.toThrow("device must be not in this container yet");
  });
});

describe("removeDevice", () => {
  it("frees the domain with the last device", async () => {
    const [first, second] = iommufd.devices().map((bdf) => iommufd.openDevice(bdf)) as [Device, Device];
    await using each = container();
    await each.addDevice(first);
    await each.addDevice(second);
    await each.removeDevice(first);
    expect(each.iovaRanges().alignment).toBe(4096n);
    await each.removeDevice(second);
    expect(each.iovaRanges().alignment).toBe(1n);
    expect(each.devices).toEqual([]);
  });
});

describe("sections", () => {
  it("that are skipped are never unmapped", async () => {
    await using each = container({ bypassRo: "on" });
    await each.dmaMap(ROM.start, ROM.size, memory, 0n);
    await expect(each.regionDel(ROM)).resolves.toMatchObject({ reason: "read-only" });
    expect(memory.mappings).toBe(1);
  });

  it("can be removed without having been added: ENOENT is success", async () => {
    await using each = container();
    await expect(each.regionDel(RAM)).resolves.toMatchObject({ iova: 0n });
  });

  it("need memory, unless they are skipped", async () => {
    await using each = container({ bypassRo: "on" });
    await expect(each.regionAdd(ROM)).resolves.toMatchObject({ reason: "read-only" });
    await expect(each.regionAdd(RAM)).rejects.toThrow("memory must be the memory of pc.ram at 0x0-0xbffff");
  });

  it("that are misaligned are not mapped, with a warning unless that is known to be harmless", async () => {
    await using each = container();
    const odd = { ...RAM, offsetInRegion: 0x80n };
    await each.regionAdd(odd, memory);
    await each.regionAdd({ ...odd, misalignmentIsKnown: true }, memory);
    expect(warnings).toEqual(["pc.ram at 0x0-0xbffff: not mapped, it is not aligned like its region"]);
  });
});

describe("RAM of a device", () => {
  const BAR: MemorySection = { ...RAM, region: "0000:3b:00.0 BAR 0", type: "ram-device" };

  /** A machine whose kernel cannot map the first page of the address space. */
  function refusing(code: "EFAULT" | "ENOMEM"): Iommufd {
    const { backend, reason } = selectBackend({ profile: "sapphire-rapids" });
    return Iommufd.open({
      reason,
      backend: {
        ...backend,
        openIommufd() {
          const file = backend.openIommufd();
          const { ioasMap } = file;
          file.ioasMap = async (request) => {
            if (request.iova === 0n) throw systemError(code, "IOMMU_IOAS_MAP");
            return ioasMap(request);
          };
          return file;
        },
      },
    });
  }

  it("that the kernel cannot map (EFAULT) is a warning, and no failure", async () => {
    using machine = refusing("EFAULT");
    await using each = container({}, machine);
    const bar = memoryOf(machine);
    await expect(each.regionAdd(BAR, bar)).resolves.toMatchObject({ ramDevice: true });
    await each.apply([BAR, { ...RAM, start: 0x100000n, offsetInRegion: 0x100000n }], () => bar);
    expect(warnings).toEqual(
      Array(2).fill(
        "0000:3b:00.0 BAR 0 at 0x0-0xbffff: no peer-to-peer DMA to it, the kernel cannot map it (EFAULT)",
      ),
    );
    expect(bar.mappings).toBe(1);
  });

  it("that fails otherwise is a failure, and so is other RAM", async () => {
    using noMemory = refusing("ENOMEM");
    await using first = container({}, noMemory);
    await expect(first.regionAdd(BAR, memoryOf(noMemory))).rejects.toMatchObject({ code: "ENOMEM" });
    using fault = refusing("EFAULT");
    await using second = container({}, fault);
    await expect(second.regionAdd(RAM, memoryOf(fault))).rejects.toMatchObject({ code: "EFAULT" });
    expect(warnings).toEqual([]);
  });
});

describe("dmaMap and dmaUnmap", () => {
  it("take any range, and all of the address space", async () => {
    await using each = container();
    await each.dmaMap(0x1000n, 0x1000n, memory, 0n, true);
    await each.dmaMap((1n << 63n) + 0x1000n, 0x1000n, memory, 0x1000n);
    await each.dmaUnmap(0n, 1n << 64n);
    expect(memory.mappings).toBe(0);
    await each.dmaUnmap(0n, 1n << 64n);
  });

  it("do not hide other errors", async () => {
    await using each = container();
    await each.dmaMap(0n, 0x2000n, memory, 0n);
    await expect(each.dmaMap(0n, 0x1000n, memory, 0n)).rejects.toMatchObject({ code: "EEXIST" });
    expect(() => each.dmaUnmap(1n, 1n << 64n)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
    expect(() => each.dmaUnmap(0n, 0n)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
  });
});

describe("apply", () => {
  it("maps the whole plan", async () => {
    await using each = container({ nesting: true });
    await each.addDevice(iommufd.openDevice("6a:01.0"));
    const done = await each.apply(sections, () => memory);
    expect(done.map.map(({ iova }) => iova)).toEqual([0n, 0x100000n]);
    expect(memory.mappings).toBe(2);
  });

  it("that fails says at which section, and unmaps what it had mapped", async () => {
    await using each = container({ nesting: true, bypassRo: "off" });
    await each.addDevice(iommufd.openDevice("6a:01.0"));
    const failure = await each.apply(sections, () => memory).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApplyError);
    expect(failure).toMatchObject({
      code: "ERR_IOMMUFD_APPLY",
      mapping: { section: { region: "pc.rom" } },
      stuck: [],
      cause: { code: "EINVAL", syscall: "IOMMU_IOAS_MAP" },
      message: expect.stringMatching(
        /^cannot map pc.rom at 0xc0000-0xdffff: EINVAL: .*; the 1 mapped before it were unmapped again$/,
      ),
    });
    expect(memory.mappings).toBe(0);
    await each.apply(
      sections.filter(({ readonly }) => !readonly),
      () => memory,
    );
    expect(memory.mappings).toBe(2);
  });

  it("that fails among many of one memory tells the same", async () => {
    await using each = container();
    await each.dmaMap(0x8000n, 0x1000n, memory, 0n);
    const many = [0x0n, 0x4000n, 0x8000n, 0xc000n].map((start) => ({
      ...RAM,
      start,
      size: 0x1000n,
      offsetInRegion: start,
    }));
    const failure = await each.apply(many, () => memory).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      mapping: { iova: 0x8000n },
      stuck: [],
      cause: {
        code: "EEXIST",
        syscall: "IOMMU_IOAS_MAP",
        request: { iova: 0x8000n, length: 0x1000n },
        message: expect.not.stringContaining("index"),
      },
      message: expect.stringContaining("; the 2 mapped before it were unmapped again"),
    });
    expect(memory.mappings).toBe(1);
    await each.dmaUnmap(0x8000n, 0x1000n);
    await each.apply(many, () => memory);
    expect(memory.mappings).toBe(4);
  });

  it("maps nothing where memory is missing", async () => {
    await using each = container();
    await expect(
      each.apply(sections, (region) => (region === "pc.ram" ? memory : undefined)),
    ).rejects.toThrow("memory must be the memory of pc.rom at 0xc0000-0xdffff");
    expect(memory.mappings).toBe(0);
  });
});

describe("close", () => {
  it("waits for calls that were made before, then unwinds everything", async () => {
    const device = iommufd.openDevice("6a:01.0");
    const each = container({ nesting: true });
    const added = each.addDevice(device);
    const applied = each.apply(sections, () => memory);
    await each.close();
    await Promise.all([added, applied]);
    expect(memory.mappings).toBe(0);
    expect(device.attachedTo).toBeUndefined();
    expect(device.closed).toBe(false);
    await each.close();
    await expect(each.regionAdd(RAM, memory)).rejects.toMatchObject({ code: "ERR_IOMMUFD_CLOSED" });
  });
});

it("several machines are apart", () => {
  const machine = selectBackend({ profile: "sapphire-rapids" });
  using first = Iommufd.open(machine);
  using second = Iommufd.open(machine);
  using _device = first.openDevice("6a:01.0");
  expect(() => second.openDevice("6a:01.0")).toThrow(expect.objectContaining({ code: "EINVAL" }));
  expect(iommufd.openDevice("6a:01.0").name).toBe("0000:6a:01.0");
});

/** Memory for the tests that have a machine of their own. */
function memoryOf(machine: Iommufd): DmaMemory {
  return machine.allocMemory(1n << 28n);
}
