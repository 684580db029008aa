/** The command on a real kernel. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readKernelLog } from "../../lib/host/kernel-log.ts";
import { Iommufd } from "../../lib/index.ts";
import { VERSION } from "../../lib/origin.ts";
import { laterThan } from "../conformance/backend.ts";
import { iommufd, MAIN, PROJECT, run, TIME } from "../e2e/command.ts";
import { RunningServer } from "../e2e/running-server.ts";
import { sectionList } from "../section-list.ts";
import { expectCaptured } from "./captured.ts";
import { machineFigure } from "./proc.ts";

const GUEST = "examples/guest-with-nesting.mtree";
const [FIRST, SECOND] = ["0000:00:01.0", "0000:00:02.0"] as const;

describe("iommufd check", () => {
  const pinned = () => machineFigure("Unevictable");
  const sections = (path: string, ...ranges: [string, string][]) => {
    writeFileSync(path, sectionList(...ranges.map(([start, last]) => ({ start, last }))));
    return path;
  };

  it("makes the mappings of a real guest, and undoes them", () => {
    for (let round = 0; round < 2; round++) {
      const { status, stdout } = iommufd(["check", GUEST, "--device", FIRST, "--json"]);
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        accepted: true,
        bypassRo: true,
        mappings: 2,
        obstacles: [],
        lockedMemory: { needed: "0xffc0000", exempt: true },
      });
    }
    const { status, stdout } = iommufd(["check", GUEST, "--device", FIRST, "--bypass-ro", "off", "--json"]);
    expect(status).toBe(3);
    expect(
      JSON.parse(stdout).obstacles.map(({ region, code, reason }: Record<string, string>) => [
        region,
        code,
        reason,
      ]),
    ).toEqual([
      ["pc.rom", "EINVAL", "read-only-on-nest-parent"],
      ["pc.bios", "EINVAL", "read-only-on-nest-parent"],
      ["pc.bios", "EINVAL", "read-only-on-nest-parent"],
    ]);
  });

  it("of a guest larger than the machine, at its real addresses", () => {
    const path = sections(
      "/run/tmp/large.json",
      ["0x0", "0x7fffffff"],
      ["0x100000000", "0x8ffffffff"],
      ["0x7f80000000", "0x807fffffff"],
    );
    const { status, stdout } = iommufd(["check", path, "--device", FIRST, SECOND, "--json"]);
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      devices: [FIRST, SECOND],
      mappings: 3,
      lockedMemory: { needed: "0x980000000" },
      obstacles: [{ region: "ram2", code: "EINVAL", reason: "outside-aperture" }],
    });
    expect(pinned()).toBeLessThan(100_000);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("undoes everything when it gets %s: exit %i", async (signal, exitCode) => {
    const path = sections("/run/tmp/huge.json", ["0x100000000", "0x7fffffffff"]);
    const child = spawn(process.execPath, [MAIN, "check", path, "--device", FIRST, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    // With --json it says which backend it is on, and begins.
    while (!stderr.includes("kernel backend")) await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => setTimeout(resolve, 2000));
    child.kill(signal);
    const [status] = await once(child, "exit");
    expect([status, stderr]).toEqual([
      exitCode,
      expect.stringContaining("interrupted; everything was undone"),
    ]);
    using machine = Iommufd.open({ backend: "kernel" });
    machine.openDevice(FIRST);
  });
});

describe("iommufd doctor", () => {
  it.skipIf(!laterThan(6, 12))(
    "finds this machine ready, and a refusal in its log, as docs/commands.md shows",
    () => {
      using machine = Iommufd.open({ backend: "kernel" });
      using device = machine.openDevice(FIRST);
      using ioas = machine.allocIoas();
      using memory = machine.allocMemory(4096n);
      ioas.mapSync(memory, { iova: 0n, writable: false });
      expect(() => ioas.allocHwptSync(device, { nestParent: true })).toThrow("EINVAL");
      ioas.close();
      device.close();

      const { status, stdout, stderr } = iommufd(["doctor"]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      // Which QEMU is installed is the business of whoever runs this.
      const comparable = (text: string) =>
        text
          .replaceAll(/^\w+ +QEMU.*\n/gm, "")
          .replaceAll(/(out of nest parents: )[^,]*/g, "$1QEMU")
          // Where lines are broken depends on it, too.
          .replaceAll(/\s+/g, " ");
      expect(comparable(readFileSync(`${PROJECT}docs/commands.md`, "utf8"))).toContain(
        comparable(stdout.replaceAll(release(), "7.2.13")),
      );
    },
  );

  it("the kernel's line is the one that docs/troubleshooting.md begins with", () => {
    using machine = Iommufd.open({ backend: "kernel" });
    using device = machine.openDevice(FIRST);
    using ioas = machine.allocIoas();
    using memory = machine.allocMemory(4096n);
    ioas.mapSync(memory, { iova: 0n, writable: false });
    expect(() => ioas.allocHwptSync(device, { nestParent: true })).toThrow("ERRATA_772415_SPR17");
    ioas.close();
    const [, line = ""] =
      /\n```text\n(Read-only mapping.*)\n```\n/.exec(
        readFileSync(`${PROJECT}docs/troubleshooting.md`, "utf8"),
      ) ?? [];
    expect(line).not.toBe("");
    const log = readKernelLog("/");
    expect(log?.source).toBe("/dev/kmsg");
    expect(log?.text).toContain(`${line}\n`);
  });

  it("as nobody: says what this user may not open", () => {
    const { status, stdout } = spawnSync(process.execPath, [MAIN, "doctor", FIRST, "--json"], {
      uid: 65534,
      gid: 65534,
      encoding: "utf8",
    });
    const { checks } = JSON.parse(stdout);
    expect(status).toBe(3);
    expect(checks).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: "/dev/iommu", status: "fail", found: "this user may not open it" }),
        expect.objectContaining({
          name: FIRST,
          status: "fail",
          found: expect.stringMatching(/^this user may not open \/dev\/vfio\/devices\/vfio\d+$/),
        }),
        expect.objectContaining({ name: "nested translation", status: "pass" }),
        expect.objectContaining({ name: "locked memory", status: "warn" }),
      ]),
    );
  });
});

describe("iommufd capture", () => {
  it.skipIf(!laterThan(6, 12))(
    "gives the profile that ships, whose model the suites hold against this kernel",
    () => expectCaptured("qemu-vtd"),
  );

  it("of what is not there: a clear error", () => {
    expect(iommufd(["capture", "0000:7f:00.0"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining("0000:7f:00.0: no such PCI device"),
    });
  });
});

describe("iommufd probe", () => {
  it("finds all devices of vfio-pci, and leaves them as they were", () => {
    for (let round = 0; round < 2; round++) {
      const { status, stdout, stderr } = iommufd(["probe", "--json"]);
      expect({ status, stderr }).toEqual({
        status: 0,
        stderr: "iommufd: kernel backend (/dev/iommu opens)\n",
      });
      const device = {
        type: "intel-vtd",
        typeId: 1,
        flags: ["ERRATA_772415_SPR17"],
        capReg: "0xd2008c22260286",
        ecapReg: "0x480084f00f4a",
        outCapabilities: laterThan(6, 12) ? ["PCI_ATS_NOT_SUPPORTED"] : [],
        maxPasidLog2: 0,
        erratum772415: true,
        quirks: ["NESTING_PARENT_BYPASS_RO"],
        iovaRanges: [
          { start: "0x0", last: "0xfedfffff" },
          { start: "0xfef00000", last: "0x7fffffffff" },
        ],
        nestParent: true,
        error: null,
      };
      expect(JSON.parse(stdout)).toEqual({
        schema: "iommufd.probe/1",
        backend: "kernel",
        backendReason: "/dev/iommu opens",
        profile: null,
        hostName: "node1",
        kernelRelease: release(),
        modelledKernelRelease: null,
        time: TIME,
        iommufdVersion: VERSION,
        devices: [
          { bdf: FIRST, cdev: "/dev/vfio/devices/vfio0", ...device },
          { bdf: SECOND, cdev: "/dev/vfio/devices/vfio1", ...device },
        ],
      });
    }
  });

  it("reports what is busy, not bound or gone in its row, and does not stop at it", () => {
    using other = Iommufd.open({ backend: "kernel" });
    using _busy = other.openDevice(FIRST);
    const { status, stdout } = iommufd(["probe", FIRST, "00:1f.2", "00:1e.0", SECOND, "--json"]);
    expect(status).toBe(1);
    expect(JSON.parse(stdout).devices).toMatchObject([
      {
        bdf: FIRST,
        type: null,
        error: {
          code: "EINVAL",
          message: expect.stringMatching(/: another program has it: \S+ \(process \d+\)$/),
        },
      },
      {
        bdf: "0000:00:1f.2",
        error: { message: expect.stringContaining("not bound to any driver; bind it with: ") },
      },
      {
        bdf: "0000:00:1e.0",
        error: { message: expect.stringContaining("no such PCI device on this machine") },
      },
      { bdf: SECOND, erratum772415: true, error: null },
    ]);
  });
});

it("EBUSY says who has the IOMMU group by VFIO's older interface", () => {
  using machine = Iommufd.open({ backend: "kernel" });
  const group = openSync(`/dev/vfio/${machine.iommuGroup(FIRST)}`, "r+");
  try {
    const { status, stdout } = iommufd(["probe", FIRST]);
    expect(status).toBe(1);
    expect(stdout).toMatch(
      /^0000:00:01\.0: EBUSY: .*: its IOMMU group is in use: \S+ \(process \d+\) has \/dev\/vfio\/1 open, /m,
    );
  } finally {
    closeSync(group);
  }
});

describe("probe for programs", () => {
  it("tells what the kernel says", () => {
    expect(iommufd(["probe", "--format", "nfd"])).toEqual({
      status: 0,
      stdout:
        "iommufd.available=true\niommufd.devices=2\niommufd.erratum-772415=true\niommufd.nested-translation=true\n",
      stderr: "iommufd: kernel backend (/dev/iommu opens)\n",
    });
    const { stdout } = iommufd(["probe", "--format", "prometheus"]);
    expect(stdout).toContain(`\niommufd_device_erratum_772415{bdf="${FIRST}"} 1\n`);
    expect(stdout).toContain(`\niommufd_device_info{bdf="${FIRST}",iommu="intel-vtd",backend="kernel"} 1\n`);
  });

  it("does not know what devices say that others have: exit 1", () => {
    using other = Iommufd.open({ backend: "kernel" });
    using _first = other.openDevice(FIRST);
    using _second = other.openDevice(SECOND);
    expect(iommufd(["probe", "--format", "nfd"])).toMatchObject({
      status: 1,
      stdout: expect.stringContaining("iommufd.erratum-772415=unknown\niommufd.nested-translation=unknown\n"),
    });
    const { stdout } = iommufd(["probe", "--format", "prometheus"]);
    expect(stdout).toContain(`iommufd_device_probe_success{bdf="${FIRST}"} 0\n`);
    expect(stdout).not.toContain("iommufd_device_erratum_772415{");
  });
});

describe("iommufd serve", () => {
  const ask = async ({ url }: RunningServer) => await (await fetch(url)).text();

  it("opens no device: another program has them meanwhile", async () => {
    using other = Iommufd.open({ backend: "kernel" });
    await using server = await RunningServer.start();
    using _first = other.openDevice(FIRST);
    const metrics = await ask(server);
    expect(metrics).toContain("\niommufd_ready 1\n");
    expect(metrics).toContain(`\niommufd_checks{check="${FIRST}",status="pass"} 2\n`);
    expect(metrics).not.toContain("iommufd_device_");
  });

  it("--probe: opens them once, at the start", async () => {
    await using server = await RunningServer.start("--probe");
    using other = Iommufd.open({ backend: "kernel" });
    using _first = other.openDevice(FIRST);
    const metrics = await ask(server);
    expect(metrics).toContain(`\niommufd_device_erratum_772415{bdf="${FIRST}"} 1\n`);
    expect(metrics).toContain('backend="kernel"} 1\n');
  });
});

describe("iommufd plan", () => {
  it("follows the hardware of a device", () => {
    const { status, stdout } = iommufd(["plan", GUEST, "--device", FIRST, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      bypassRo: true,
      totals: { mapped: "0xffc0000", sections: 9 },
    });
  });

  it("draws what the host reserves", () => {
    const { stdout } = iommufd(["plan", GUEST, "--device", FIRST]);
    expect(stdout).toMatch(/\nMap {7}#+o+#+[.-]+o+\.+\n +x+\n/);
  });

  it("asks which device, where there are several", () => {
    expect(iommufd(["plan", GUEST])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`say which one with --device: ${FIRST}, ${SECOND}`),
    });
  });
});

describe("without devices", () => {
  const unbind = "/sys/bus/pci/drivers/vfio-pci/unbind";

  beforeAll(() => {
    for (const bdf of [FIRST, SECOND]) writeFileSync(unbind, bdf);
  });

  afterAll(() => {
    for (const bdf of [FIRST, SECOND]) writeFileSync("/sys/bus/pci/drivers_probe", bdf);
  });

  it("probe says that there are none, and plan what to do", () => {
    expect(iommufd(["probe"])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("no devices are bound"),
    });
    expect(iommufd(["plan", GUEST])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("no device is bound to vfio-pci"),
    });
    expect(iommufd(["plan", GUEST, "--bypass-ro", "on"]).status).toBe(0);
  });
});

it("examples/walk.js does the walk on the kernel", () => {
  expect(run(PROJECT, process.execPath, ["examples/walk.js"])).toEqual({
    status: 0,
    output: "kernel: 2 sections mapped, 7 skipped\n",
  });
});
