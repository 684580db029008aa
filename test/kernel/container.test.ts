/** The point of it all, on a real kernel: the plan of a real guest, with and without bypassRo. */

import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ApplyError,
  Container,
  type ContainerOptions,
  type Device,
  type Ioas,
  Iommufd,
  readMemoryMap,
} from "../../lib/index.ts";
import { readCapture } from "../fixtures/captures.ts";
import { processFigure } from "./proc.ts";

const sections = readMemoryMap(readCapture("q35-nest", "mtree"), { source: "q35-nest.mtree" });

let iommufd: Iommufd;
let device: Device;

beforeEach(() => {
  iommufd = Iommufd.open({ backend: "kernel" });
  device = iommufd.openDevice("0000:00:01.0");
});

afterEach(() => iommufd.close());

const pinned = () => processFigure("VmPin");

async function withContainer(
  options: ContainerOptions,
  work: (container: Container) => Promise<void>,
): Promise<void> {
  await using container = new Container(iommufd, { nesting: true, ...options });
  await container.addDevice(device);
  await work(container);
}

describe("the plan of q35-nest on a container that wants nesting", () => {
  it("is refused with bypassRo off, at the first read-only section, and nothing stays mapped", async () => {
    await withContainer({ bypassRo: "off" }, async (container) => {
      const memory = iommufd.allocMemory(1n << 28n);
      const failure = await container.apply(sections, () => memory).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ApplyError);
      expect(failure).toMatchObject({
        mapping: { section: { region: "pc.rom", start: 0xc0000n } },
        cause: { code: "EINVAL", syscall: "IOMMU_IOAS_MAP" },
        stuck: [],
      });
      expect(memory.mappings).toBe(0);
      expect(pinned()).toBe(0);
    });
  });

  it("is accepted as the hardware information decides, is really pinned, and unwinds to nothing", async () => {
    const memory = iommufd.allocMemory(1n << 28n);
    await withContainer({}, async (container) => {
      expect(container.bypassRo).toBe(true);
      const plan = await container.apply(sections, () => memory);
      expect(plan.map.map(({ iova, length }) => [iova, length])).toEqual([
        [0n, 0xc0000n],
        [0x100000n, 0xff00000n],
      ]);
      expect(pinned()).toBe(Number(0xffc0000n >> 10n));
    });
    expect(memory.mappings).toBe(0);
    expect(pinned()).toBe(0);
    memory.close();
    expect(device.attachedTo).toBeUndefined();
    expect(iommufd.allocIoas().id).toBe(2);
  });

  it("without nesting maps its read-only sections too", async () => {
    await withContainer({ nesting: false }, async (container) => {
      const memory = iommufd.allocMemory(1n << 28n);
      const plan = await container.apply(sections, () => memory);
      expect(plan.map.filter(({ readonly }) => readonly)).toHaveLength(3);
      expect(pinned()).toBe(Number(plan.map.reduce((sum, { length }) => sum + length, 0n) >> 10n));
    });
    expect(pinned()).toBe(0);
  });

  it("serves two devices with one domain", async () => {
    await withContainer({}, async (container) => {
      const second = iommufd.openDevice("0000:00:02.0");
      await container.addDevice(second);
      expect(second.attachedTo).toBe(device.attachedTo);
      await container.removeDevice(device);
      await container.removeDevice(second);
      expect(container.iovaRanges().alignment).toBe(1n);
    });
  });
});

describe("calls that take long", () => {
  it("leave the event loop running", async () => {
    const ioas = iommufd.allocIoas();
    device.attachSync(ioas);
    const memory = iommufd.allocMemory(1n << 29n);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    await ioas.map(memory);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(2);
    expect(pinned()).toBe(Number(memory.length >> 10n));
  });

  it.each([
    ["the address space", (ioas: Ioas) => ioas.close()],
    ["the device", () => device.close()],
    ["the iommufd", () => iommufd.close()],
  ])("are waited for where %s is closed meanwhile, and nothing stays pinned", async (_, close) => {
    const ioas = iommufd.allocIoas();
    device.attachSync(ioas);
    const memory = iommufd.allocMemory(1n << 29n);
    const mapping = ioas.map(memory, { iova: 0n });
    await setTimeout(200); // it is running now, and takes seconds here
    expect(memory.mappings).toBe(1);
    close(ioas);
    await expect(mapping).resolves.toBe(0n);
    iommufd.close();
    expect(memory.mappings).toBe(0);
    // The descriptor is closed when its last call has returned, which may be on the thread pool.
    await expect.poll(pinned).toBe(0);
    memory.close();
    using again = Iommufd.open({ backend: "kernel" });
    expect(again.openDevice("0000:00:01.0").id).toBe(1);
  });
});
