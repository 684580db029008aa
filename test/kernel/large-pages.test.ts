/**
 * A kernel with pages of 16 or 64 KiB: IOMMUFD_TEST_MACHINE=smmuv3, and IOMMUFD_TEST_KERNEL with what
 * `scripts/build-test-kernel.sh --arm64 64` makes. The conformance suite beside it has dirty bitmaps and the rest.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Device, type Ioas, Iommufd } from "../../lib/index.ts";
import { hex } from "../../lib/json.ts";
import { FIRST, PAGE } from "../conformance/backend.ts";
import { iommufd as command, unwrapped } from "../e2e/command.ts";
import { sectionList } from "../section-list.ts";

const PATH = "/run/tmp/large-pages.json";
/** A guest of QEMU's machine type virt has its RAM there. */
const RAM = 0x4000_0000n;

describe.runIf(PAGE > 4096n)("a kernel with larger pages", () => {
  it("is one: /proc says the same", () => {
    const [, size] = /^KernelPageSize: +(\d+) kB$/m.exec(readFileSync("/proc/self/smaps", "utf8")) ?? [];
    expect(BigInt(size ?? 0) * 1024n).toBe(PAGE);
  });

  describe("memory", () => {
    let iommufd: Iommufd;
    let device: Device;
    let ioas: Ioas;

    beforeEach(() => {
      iommufd = Iommufd.open({ backend: "kernel" });
      device = iommufd.openDevice(FIRST);
      ioas = iommufd.allocIoas();
    });

    afterEach(() => iommufd.close());

    it("is of whole pages", () => {
      expect(iommufd.pageSize).toBe(Number(PAGE));
      expect(() => iommufd.allocMemory(4096n)).toThrow(
        expect.objectContaining({
          code: "ERR_OUT_OF_RANGE",
          message: expect.stringContaining(`a positive multiple of the page size, ${PAGE}`),
        }),
      );
      expect(iommufd.allocMemory(PAGE)).toMatchObject({ length: PAGE, pageSize: PAGE });
    });

    it("is mapped by whole pages, once an IOMMU is to walk them: EINVAL", () => {
      const memory = iommufd.allocMemory(2n * PAGE);
      expect(ioas.mapSync(memory, { iova: 4096n, offset: 4096n, length: 4096n })).toBe(4096n);
      ioas.unmapSync(4096n, 4096n);
      device.attachSync(ioas);
      expect(ioas.iovaRanges().alignment).toBe(PAGE);
      const small = { iova: RAM, offset: 0n, length: 4096n };
      expect(() => ioas.mapSync(memory, small)).toThrow(expect.objectContaining({ code: "EINVAL" }));
      expect(ioas.mapSync(memory, { iova: RAM })).toBe(RAM);
      expect(ioas.unmapSync(RAM, 2n * PAGE)).toBe(2n * PAGE);
    });
  });

  describe("the command", () => {
    /** A page and a half from the middle of a page on; a part of a page; whole pages. */
    const parts: [start: bigint, size: bigint][] = [
      [RAM + PAGE / 2n, PAGE + PAGE / 2n],
      [RAM + 4n * PAGE + 4096n, 4096n],
      [RAM + 8n * PAGE, 16n * PAGE],
    ];

    beforeEach(() => {
      const sections = parts.map(([start, size]) => ({
        start: hex(start),
        last: hex(start + size - 1n),
        offsetInRegion: hex(start - RAM),
      }));
      writeFileSync(PATH, sectionList(...sections));
    });

    const expected = {
      pageSize: Number(PAGE),
      map: [
        { region: "ram0", iova: hex(RAM + PAGE), length: hex(PAGE), offsetInRegion: hex(PAGE) },
        { region: "ram2", iova: hex(RAM + 8n * PAGE), length: hex(16n * PAGE) },
      ],
      skipped: [{ region: "ram1", reason: "sub-page" }],
    };

    it("plan rounds starts up and ends down, whether it asks the IOMMU or not", () => {
      for (const how of [["--device", FIRST], ["--no-nesting"]]) {
        const { status, stdout } = command(["plan", PATH, "--json", ...how]);
        expect({ status, plan: JSON.parse(stdout) }).toMatchObject({ status: 0, plan: expected });
      }
    });

    it("check makes these mappings, which pages of 4 KiB would not be: EINVAL", () => {
      const rounded = command(["check", PATH, "--device", FIRST, "--json"]);
      expect(JSON.parse(rounded.stdout)).toMatchObject({ accepted: true, mappings: 2 });
      expect(rounded.status).toBe(0);
      const smaller = command(["check", PATH, "--device", FIRST, "--page-size", "4K", "--json"]);
      expect(JSON.parse(smaller.stdout)).toMatchObject({ accepted: false, mappings: 3 });
      expect(smaller.status).toBe(3);
    });

    it("capture writes a profile whose model rounds alike", () => {
      const captured = command(["capture"]);
      expect(captured.status).toBe(0);
      const profile = JSON.parse(captured.stdout);
      expect(profile).toMatchObject({ pageSize: Number(PAGE) });
      const [iommu] = Object.values<{ domains: { plain: { pageSizes: string[] } } }>(profile.iommus);
      expect(iommu?.domains.plain.pageSizes).toContain(hex(PAGE));
      writeFileSync("/run/tmp/host.json", captured.stdout);
      const { stdout } = command([
        "check",
        PATH,
        "--profile",
        "/run/tmp/host.json",
        "--device",
        FIRST,
        "--json",
      ]);
      expect(JSON.parse(stdout)).toMatchObject({ accepted: true, mappings: 2 });
    });

    it("doctor finds nothing wrong with it", () => {
      const { stdout } = command(["doctor"]);
      expect(unwrapped(stdout)).toMatch(/^pass +IOMMU +smmu3\.0x0000000009050000\b/m);
      expect(stdout).not.toMatch(/^fail/m);
    });
  });
});
