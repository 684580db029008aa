/** Memory for DMA of every kind: memfd or anonymous, in pages of any size, prefaulted. */

import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Ioas, Iommufd } from "../../lib/index.ts";
import { laterThan, PAGE } from "../conformance/backend.ts";
import { machineFigure, processFigure } from "./proc.ts";

const HUGE = 1n << 21n;
const RESERVED = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

let iommufd: Iommufd;
let ioas: Ioas;

beforeEach(() => {
  iommufd = Iommufd.open({ backend: "kernel" });
  ioas = iommufd.allocIoas();
  iommufd.openDevice("0000:00:01.0").attachSync(ioas);
});

afterEach(() => iommufd.close());

describe("memory for DMA", () => {
  it.each(["memfd", "anonymous"] as const)(
    "%s: is mapped and pinned, and shared with its ArrayBuffer",
    (backing) => {
      const memory = iommufd.allocMemory(16n * PAGE, { backing });
      new Uint8Array(memory.buffer)[5] = 5;
      const pinned = processFigure("VmPin");
      ioas.mapSync(memory);
      expect(processFigure("VmPin")).toBe(pinned + 64);
      expect(new Uint8Array(memory.buffer)[5]).toBe(5);
    },
  );

  it("anonymous: is no file", () => {
    const memory = iommufd.allocMemory(PAGE, { backing: "anonymous" });
    expect(() => memory.fd).toThrow(expect.objectContaining({ code: "EBADF" }));
    if (laterThan(6, 12))
      expect(() => ioas.mapFileSync(memory)).toThrow(expect.objectContaining({ code: "EBADF" }));
  });

  it("has its pages when it is prefaulted, not before", async () => {
    const memory = iommufd.allocMemory(4096n * PAGE, { backing: "anonymous" });
    const resident = () => processFigure("RssAnon");
    const before = resident();
    await memory.prefault();
    expect(resident() - before).toBeGreaterThan(15_000);
    const file = iommufd.allocMemory(16n * PAGE);
    file.prefaultSync();
  });
});

describe("huge pages", () => {
  let before: string;

  beforeAll(() => {
    before = readFileSync(RESERVED, "utf8");
    writeFileSync(RESERVED, "4");
  });

  afterAll(() => writeFileSync(RESERVED, before));

  it.each(["memfd", "anonymous"] as const)("%s: are set aside, used and given back", async (backing) => {
    const free = () => machineFigure("HugePages_Free") - machineFigure("HugePages_Rsvd");
    expect(free()).toBe(4);
    const memory = iommufd.allocMemory(4n * HUGE, { backing, pageSize: HUGE });
    expect(memory.pageSize).toBe(HUGE);
    expect(free()).toBe(0);
    expect(() => iommufd.allocMemory(HUGE, { backing, pageSize: HUGE })).toThrow(
      expect.objectContaining({ code: "ENOMEM", request: { length: HUGE, pageSize: HUGE } }),
    );
    await memory.prefault();
    const iova = await ioas.map(memory);
    expect(iova % HUGE).toBe(0n);
    new Uint8Array(memory.buffer).fill(7);
    await ioas.unmap(iova, memory.length);
    memory.close();
    expect(free()).toBe(4);
  });

  it("of a size that the machine has not: a clear error", () => {
    for (const backing of ["memfd", "anonymous"] as const)
      expect(() => iommufd.allocMemory(1n << 26n, { backing, pageSize: 1n << 26n })).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^(ENODEV|EINVAL)$/) }),
      );
  });
});
