/** `iommufd plan --qmp` and `check --qmp`, of VMs that run. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { queryQemu } from "../../lib/memory-map/running-qemu.ts";
import { iommufd, PROJECT } from "../e2e/command.ts";
import { QEMUS, RunningQemu } from "./running-qemu.ts";

const VIRTIO_MEM = [
  ...["-m", "256M,maxmem=4G,slots=2", "-object", "memory-backend-ram,id=vm0,size=1G"],
  ...["-device", "virtio-mem-pci,id=vmem0,memdev=vm0"],
];

it("there is a QEMU to ask", () => {
  expect(QEMUS.length).toBeGreaterThan(0);
});

describe.each(QEMUS.map((qemu) => [qemu.version, qemu] as const))("QEMU %s", (version, qemu) => {
  const major = Number.parseInt(version, 10);
  const hasFirstStage = major >= 10;
  /** Its names for scalable mode and for first-stage translation. */
  const [scalableMode, firstStage] = major >= 11 ? ["scalable-mode", "fsts"] : ["x-scalable-mode", "x-flts"];

  it("without an IOMMU: started without nesting", async () => {
    await using vm = await RunningQemu.start(qemu, "-machine", "pc", "-m", "128M");
    const { status, stdout, stderr } = iommufd(["plan", "--qmp", vm.socket, "--json"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({
      nesting: false,
      bypassRo: false,
      map: expect.arrayContaining([
        expect.objectContaining({ region: "pc.bios", iova: "0xfffc0000", readonly: true }),
      ]),
      vm: { qemuVersion: version, nesting: false, virtioMem: [] },
    });
  });

  it("its own names are in the advice", async () => {
    await using vm = await RunningQemu.start(qemu, "-machine", "q35", "-device", "intel-iommu");
    const { status, stdout } = iommufd(["plan", "--qmp", vm.socket, "--nesting", "--bypass-ro", "on"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^VM {8}QEMU [\d.]+, started without nesting\nNesting {3}wanted\n/m);
    expect(stdout).toContain(
      major >= 11
        ? "\n- this QEMU has commit 68d3a2a24d: it leaves"
        : "\n- use QEMU 11.0 or later, or one with commit 68d3a2a24d: it leaves",
    );
    expect(stdout).toContain(`\n    -device intel-iommu,${scalableMode}=off\n`);
    expect(stdout).toContain(
      hasFirstStage
        ? `\n- ${scalableMode}=on and ${firstStage}=on turn nesting on\n`
        : "\n- this QEMU has no first-stage translation, and so no nesting\n",
    );
  });

  it.runIf(hasFirstStage)(
    "with nesting: the plan follows the host's erratum, and a check takes it",
    async () => {
      const options = [
        "-machine",
        "q35",
        "-device",
        `intel-iommu,id=viommu,${scalableMode}=on,${firstStage}=on`,
      ];
      await using vm = await RunningQemu.start(qemu, ...options);
      const plan = iommufd(["plan", "--qmp", vm.socket, "--profile", "sapphire-rapids", "--json"]);
      expect(JSON.parse(plan.stdout)).toMatchObject({ nesting: true, bypassRo: true, vm: { nesting: true } });
      const check = iommufd(["check", "--qmp", vm.socket, "--profile", "sapphire-rapids"]);
      expect(check).toMatchObject({
        status: 0,
        stdout: expect.stringContaining("Plan      accepted: 2 mappings"),
      });
    },
  );

  it("tells how much of virtio-mem is plugged", async () => {
    await using vm = await RunningQemu.start(qemu, "-machine", "pc", ...VIRTIO_MEM);
    const { virtioMem } = await queryQemu(vm.socket);
    expect(virtioMem).toEqual([{ id: "vmem0", start: 0x100000000n, last: 0x13fffffffn, plugged: 0n }]);
    expect(iommufd(["plan", "--qmp", vm.socket]).stdout).toContain(
      "virtio-mem vmem0 at 0x100000000-0x13fffffff: 0 B of 1 GiB plugged; QEMU maps nothing of it",
    );
  });

  it("is asked again and again, and lives on", async () => {
    await using vm = await RunningQemu.start(qemu, "-machine", "pc");
    for (let round = 0; round < 5; round++) await queryQemu(vm.socket);
    expect(vm.process.exitCode).toBeNull();
  });

  it("that does not answer, and one that dies", async () => {
    await using vm = await RunningQemu.start(qemu, "-machine", "pc");
    await vm.freeze();
    await expect(queryQemu(vm.socket, { timeout: 300 })).rejects.toMatchObject({
      code: "ERR_IOMMUFD_QEMU",
      message: `${vm.socket}: QEMU did not send a greeting within 0.3 s; it serves one client at a time`,
    });
    const asked = queryQemu(vm.socket);
    setTimeout(() => vm.process.kill("SIGKILL"), 100);
    await expect(asked).rejects.toMatchObject({
      code: "ERR_IOMMUFD_QEMU",
      message: expect.stringContaining("QEMU hung up before a greeting"),
    });
  });

  it.runIf(major >= 11)("is planned as docs/commands.md shows", async () => {
    const options = ["-device", `intel-iommu,${scalableMode}=on,${firstStage}=on`];
    await using vm = await RunningQemu.start(qemu, "-machine", "q35", ...VIRTIO_MEM, ...options);
    const { stdout } = iommufd(["plan", "--qmp", vm.socket, "--bypass-ro", "on"]);
    const commands = readFileSync(`${PROJECT}docs/commands.md`, "utf8");
    const [, shown] = /^\$ iommufd plan --qmp .*\n([\s\S]*?)^```$/m.exec(commands) ?? [];
    // A later 11 may be what the mirror has by now.
    const alike = (text = "") =>
      text
        .replace(/^(VM +QEMU )[\d.]+/m, "$1VERSION")
        .trimEnd()
        .split("\n");
    const lines = alike(shown);
    expect(lines.length).toBeGreaterThan(4);
    expect(alike(stdout).slice(0, lines.length)).toEqual(lines);
  });
});
