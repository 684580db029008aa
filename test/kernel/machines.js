// The machines of the kernel lane, as data: boot.js boots them.

import process from "node:process";
import { initrdWithReservedRegion } from "./acpi-dmar.js";
import { checkNvmeDisks, makeNvmeDisks } from "./nvme-images.js";

/**
 * An emulated processor, and what goes with it: paths within the project.
 *
 * @typedef {object} Processor
 * @property {string} qemu
 * @property {string} qemuFrom the command that gets it
 * @property {string[]} options of QEMU's
 * @property {string} kernel in ../shared/kernel
 * @property {string} kernelCommandLine
 * @property {string} root the root file system
 * @property {string} build what is built for this processor
 * @property {string} compiler
 * @property {Record<string, string>} env of the command that is run
 */

/** @type {Record<string, Processor>} */
const PROCESSORS = {
  x64: {
    qemu: "qemu-system-x86_64",
    qemuFrom: "apt-get install qemu-system-x86",
    options: [...["-M", "q35,kernel-irqchip=split"], ...["-cpu", "max"], ...["-m", "3G"]],
    kernel: "bzImage",
    // The timer is not checked: where the host is busy, that of an emulated machine fails the check, and the kernel panics.
    kernelCommandLine: "console=ttyS0 no_timer_check",
    root: "/",
    build: "build",
    compiler: process.env.CXX ?? "c++",
    env: {},
  },
  arm64: {
    qemu: "build/test/qemu/usr/bin/qemu-system-aarch64",
    qemuFrom: "scripts/fetch-test-qemu.sh",
    // With QEMU's own algorithm to authenticate pointers: the architecture's takes half of the time that there is.
    options: [...["-M", "virt,gic-version=3"], ...["-cpu", "max,pauth-impdef=on"], ...["-m", "2G"]],
    kernel: "Image-arm64.gz",
    // Not even errors go to the console: each fault that no guest is told of is six lines.
    kernelCommandLine: "console=ttyAMA0 loglevel=1",
    root: "build/test/arm64/root",
    build: "build/test/arm64/build",
    compiler: "aarch64-linux-gnu-g++",
    // Where vitest finds its native parts; and code is compiled once for the many programs that run it.
    env: { NODE_PATH: "/usr/local/lib/node_modules", NODE_COMPILE_CACHE: "/run/node-compile-cache" },
  },
};

/**
 * Disks that the host makes in the directory that it shares with the machine, as options of QEMU's, and looks at again when the
 * machine is gone.
 *
 * @typedef {object} Disks
 * @property {(directory: string) => string[]} make
 * @property {(directory: string) => string[]} check what is wrong with them
 */

/**
 * A machine. Devices are what QEMU's -device takes, options are further ones of QEMU's. Tests are files, with options of
 * vitest's. A command takes the place of vitest.
 *
 * @typedef {object} Machine
 * @property {string} [processor]
 * @property {string[]} [options]
 * @property {string[]} devices
 * @property {string} [kernelCommandLine]
 * @property {Buffer} [initrd]
 * @property {Disks} [disks]
 * @property {Record<string, string>} [env] of the command that is run
 * @property {string[]} [tests]
 * @property {string[]} [command]
 */

/** The model is held against the kernel, for a while. */
const COMPARE = [
  "env",
  "IOMMUFD_FUZZ_SECONDS=10",
  "IOMMUFD_FUZZ_CALLS=1000000",
  "node",
  "test/kernel/compare/run.js",
];
const VTD = "intel-iommu,caching-mode=on,x-scalable-mode=on";

/** By IOMMUFD_TEST_MACHINE. @type {Record<string, Machine>} */
const MACHINES = {
  // All but the tests of the other machines, which would be skipped, each after seconds.
  "": {
    devices: [VTD, "edu", "edu"],
    tests: [
      "test/conformance",
      "test/kernel",
      "--exclude=test/conformance/{groups,smmuv3*}.test.ts",
      "--exclude=test/kernel/{amd,faults,large-pages,no-isolation,nvme,reserved-regions,shared-group,smmuv3}.test.ts",
    ],
  },
  // Both devices are behind a PCI bridge, and so share an IOMMU group.
  "shared-group": {
    devices: [
      VTD,
      "pci-bridge,id=bridge,chassis_nr=1,addr=5",
      "edu,bus=bridge,addr=1",
      "edu,bus=bridge,addr=2",
    ],
    tests: [
      "test/conformance/groups.test.ts",
      "test/kernel/shared-group.test.ts",
      "test/kernel/differential.test.ts",
    ],
  },
  // Without scalable mode VT-d has neither nesting nor PASIDs. The IOMMU of the other translates 48 bits.
  "vtd-legacy": { devices: ["intel-iommu,caching-mode=on", "edu", "edu"], command: COMPARE },
  "vtd-48-bits": { devices: [`${VTD},aw-bits=48`, "edu", "edu"], command: COMPARE },
  // Without ACPI's routing of interrupts: with failing allocations its interpreter was seen to take the kernel down.
  faults: {
    devices: [VTD, "edu", "edu"],
    kernelCommandLine: "acpi=noirq",
    env: { UV_THREADPOOL_SIZE: "1" },
    tests: ["test/kernel/faults.test.ts"],
  },
  // Interrupts of devices are not isolated: the kernel binds none of them.
  "no-isolation": {
    devices: [VTD, "edu", "edu"],
    kernelCommandLine: "intremap=off",
    tests: ["test/kernel/no-isolation.test.ts"],
  },
  // An IOMMU that cannot nest. It is a PCI device itself, behind those of the other machines.
  amd: {
    devices: ["edu,addr=1", "edu,addr=2", "amd-iommu"],
    env: { IOMMUFD_TEST_RUNS: "10" },
    tests: ["test/conformance", "test/kernel/amd.test.ts", "test/kernel/differential.test.ts"],
  },
  // The firmware reserves memory for the first edu device, and for a USB controller, for which Linux takes that less seriously.
  "reserved-regions": {
    devices: [VTD, "edu", "edu", "qemu-xhci,addr=1d"],
    initrd: initrdWithReservedRegion([
      { device: 1, function: 0 },
      { device: 0x1d, function: 0 },
    ]),
    tests: ["test/kernel/reserved-regions.test.ts"],
  },
  // A controller on disks that the host makes. The kernel's driver has a queue to poll, so that it can be compared with ours. Where
  // the host is busy the clock would be found unstable, and to read the time would take longer than to read a block.
  nvme: {
    devices: [VTD, "edu", "edu"],
    disks: { make: makeNvmeDisks, check: checkNvmeDisks },
    kernelCommandLine: "nvme.poll_queues=1 tsc=reliable",
    tests: ["test/kernel/nvme.test.ts"],
  },
  // An IOMMU that translates in two stages.
  smmuv3: {
    processor: "arm64",
    options: ["-M", "iommu=smmuv3", "-global", "arm-smmuv3.stage=nested"],
    devices: ["edu", "edu"],
    env: { IOMMUFD_TEST_RUNS: "10" },
    tests: [
      "test/conformance",
      "test/kernel/smmuv3.test.ts",
      "test/kernel/large-pages.test.ts",
      "test/kernel/differential.test.ts",
    ],
  },
};

/** The names of the machines beside the usual one. */
export const machineNames = Object.keys(MACHINES).filter(Boolean);

/**
 * A machine, with what goes with its processor.
 *
 * @param {string} name
 */
export function machineNamed(name) {
  const machine = Object.hasOwn(MACHINES, name) ? MACHINES[name] : undefined;
  if (machine === undefined) return undefined;
  const processor = machine.processor ?? "x64";
  const common = PROCESSORS[processor];
  return {
    ...common,
    processor,
    options: [
      ...common.options,
      ...(machine.options ?? []),
      ...machine.devices.flatMap((device) => ["-device", device]),
    ],
    kernelCommandLine: `${common.kernelCommandLine} ${machine.kernelCommandLine ?? ""}`,
    initrd: machine.initrd,
    disks: machine.disks,
    env: { ...common.env, ...machine.env },
    tests: machine.tests ?? [],
    command: machine.command,
  };
}
