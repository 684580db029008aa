// Boots the test machine: a Linux with iommufd under QEMU, with an emulated VT-d and two edu devices, on this
// machine's own root file system (read-only), and runs a command in it.
//
//   node test/kernel/boot.js                   the kernel lane: vitest with test/kernel/vitest.config.js
//   node test/kernel/boot.js -- COMMAND…       any command
//
// IOMMUFD_TEST_MACHINE=shared-group puts both edu devices behind a PCI bridge, so that they share an IOMMU group, and
// runs only the tests of that; so do "faults", where allocations of the kernel fail, "no-isolation", without interrupt
// remapping, "amd", with AMD's IOMMU, "reserved-regions", whose firmware reserves memory for two devices (RMRR), and "nvme",
// with an NVMe controller on disks that the host makes.
//
// The lane's helpers, mock-device.cc and backtrace.cc, are compiled before the machine boots: its root is read-only.
//
// IOMMUFD_TEST_KERNEL names the kernel (default: ../shared/kernel/bzImage); scripts/build-test-kernel.sh makes one.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { initrdWithReservedRegion } from "./acpi-dmar.js";
import { checkNvmeDisks, makeNvmeDisks } from "./nvme-images.js";

const TIME_LIMIT_MS = 15 * 60_000;

const project = fileURLToPath(new URL("../..", import.meta.url));
const kernel = process.env.IOMMUFD_TEST_KERNEL ?? join(project, "../shared/kernel/bzImage");
/** Machines beside the usual one, and the tests that are for them alone. */
const MACHINES = {
  "shared-group": { tests: ["test/conformance/groups.test.ts", "test/kernel/shared-group.test.ts"] },
  // Without ACPI's routing of interrupts: with failing allocations its interpreter was seen to take the kernel down.
  faults: {
    tests: ["test/kernel/faults.test.ts"],
    kernelCommandLine: "acpi=noirq",
    env: ["UV_THREADPOOL_SIZE=1"],
  },
  // Interrupts of devices are not isolated: the kernel binds none of them.
  "no-isolation": { tests: ["test/kernel/no-isolation.test.ts"], kernelCommandLine: "intremap=off" },
  // An IOMMU that cannot nest. The check of the timer fails with it where the machine is slow.
  amd: { tests: ["test/kernel/amd.test.ts"], iommu: "amd-iommu", kernelCommandLine: "no_timer_check" },
  // The first edu device, and a USB controller, for which Linux takes the region less seriously.
  "reserved-regions": {
    tests: ["test/kernel/reserved-regions.test.ts"],
    devices: ["-device", "qemu-xhci,addr=1d"],
    initrd: initrdWithReservedRegion([
      { device: 1, function: 0 },
      { device: 0x1d, function: 0 },
    ]),
  },
  // The kernel's driver has a queue to poll, so that it can be compared with ours. Where the host is busy the clock would be
  // found unstable, and to read the time would take longer than to read a block.
  nvme: { tests: ["test/kernel/nvme.test.ts"], kernelCommandLine: "nvme.poll_queues=1 tsc=reliable" },
};
const machineName = process.env.IOMMUFD_TEST_MACHINE ?? "";
if (machineName !== "" && !Object.hasOwn(MACHINES, machineName)) {
  console.error(
    `kernel lane: no machine ${JSON.stringify(machineName)}; there are ${Object.keys(MACHINES).join(", ")}`,
  );
  process.exit(1);
}
const {
  tests = [],
  kernelCommandLine = "",
  env = [],
  devices = [],
  initrd = undefined,
  iommu = "intel-iommu,caching-mode=on,x-scalable-mode=on",
} = MACHINES[machineName] ?? {};
const sharedGroup = machineName === "shared-group";
const separator = process.argv.indexOf("--");
const command =
  separator < 0
    ? [
        ...["node", "--expose-gc", "node_modules/vitest/vitest.mjs", "run"],
        ...["--configLoader=native", "--config=test/kernel/vitest.config.js"],
        ...tests,
      ]
    : process.argv.slice(separator + 1);

mkdirSync(join(project, "build/test"), { recursive: true });
for (const helper of [
  ["-o", "build/test/mock-device", "test/kernel/mock-device.cc"],
  ["-shared", "-fPIC", "-o", "build/test/backtrace.so", "test/kernel/backtrace.cc"],
]) {
  execFileSync(process.env.CXX ?? "c++", ["-std=c++17", "-Wall", "-Wextra", ...helper], {
    cwd: project,
    stdio: "inherit",
  });
}

if (!existsSync(kernel)) {
  console.error(
    `kernel lane: no test kernel at ${kernel}; set IOMMUFD_TEST_KERNEL, or make one: scripts/build-test-kernel.sh`,
  );
  process.exit(1);
}

const out = mkdtempSync(join(tmpdir(), "iommufd-kernel-lane-"));
process.on("exit", () => rmSync(out, { recursive: true, force: true }));
const machineVariable = `IOMMUFD_TEST_MACHINE=${machineName}`;
const quote = (word) => `'${word.replaceAll("'", "'\\''")}'`;
writeFileSync(
  join(out, "command"),
  `cd ${quote(project)} && exec env ${[machineVariable, ...env].join(" ")} ${command.map(quote).join(" ")}\n`,
);
if (initrd !== undefined) writeFileSync(join(out, "initrd"), initrd);

const nvmeDisks = machineName === "nvme" ? makeNvmeDisks(out) : [];

const share = (path, tag, options) => [
  "-virtfs",
  `local,path=${path},mount_tag=${tag},security_model=none,${options}`,
];
const machine = spawn(
  "qemu-system-x86_64",
  [
    ...[
      "-M",
      "q35,kernel-irqchip=split",
      "-accel",
      "tcg,thread=multi",
      "-cpu",
      "max",
      "-smp",
      "2",
      "-m",
      "3G",
    ],
    ...["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"],
    ...["-kernel", kernel, "-append", commandLineOfKernel()],
    ...(initrd === undefined ? [] : ["-initrd", join(out, "initrd")]),
    ...["-device", iommu],
    ...(sharedGroup
      ? ["-device", "pci-bridge,id=bridge,chassis_nr=1,addr=5", "-device", "edu,bus=bridge,addr=1"]
      : ["-device", "edu"]),
    ...["-device", sharedGroup ? "edu,bus=bridge,addr=2" : "edu"],
    ...devices,
    ...nvmeDisks,
    ...share("/", "host", "multidevs=remap,readonly=on"),
    ...share(out, "out", "multidevs=forbid"),
  ],
  { stdio: ["ignore", "inherit", "inherit"] },
);
const timer = setTimeout(() => {
  console.error(`kernel lane: no end after ${TIME_LIMIT_MS / 60_000} minutes, stopping the machine`);
  machine.kill("SIGKILL");
}, TIME_LIMIT_MS);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => machine.kill("SIGTERM"));

machine.on("error", (/** @type {NodeJS.ErrnoException} */ error) => {
  clearTimeout(timer);
  const hint = error.code === "ENOENT" ? " (install it: apt-get install qemu-system-x86)" : "";
  console.error(`kernel lane: QEMU does not start: ${error.message}${hint}`);
  process.exitCode = 1;
});
machine.on("exit", () => {
  clearTimeout(timer);
  const status = existsSync(join(out, "status"))
    ? Number(readFileSync(join(out, "status"), "utf8"))
    : undefined;
  if (status === undefined) console.error("kernel lane: the machine ended before the command did");
  const problems = machineName === "nvme" ? checkNvmeDisks(out) : [];
  for (const problem of problems) console.error(`kernel lane: ${problem}`);
  process.exitCode = status === 0 && problems.length > 0 ? 1 : (status ?? 1);
});

function commandLineOfKernel() {
  const root = "root=host rootfstype=9p rootflags=trans=virtio,version=9p2000.L,msize=512000,cache=loose ro";
  // The timer is not checked: where the host is busy, that of an emulated machine fails the check, and the kernel panics.
  return `console=ttyS0 panic=-1 quiet no_timer_check ${root} init=${project}test/kernel/init.sh ${kernelCommandLine}`;
}
