/** A tree of files as a machine shows them in /proc, /sys and /dev, made for each test of a suite and gone after it. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { HostCheck } from "../../lib/host/check.ts";
import { type Diagnosis, examine } from "../../lib/host/doctor.ts";
import { Machine } from "../../lib/host/machine.ts";
import { stepsOf } from "../../lib/host/steps.ts";
import { originOfMachine } from "../../lib/origin.ts";

export const BDF = "0000:6a:01.0";

/** A PCI function as sysfs shows one. */
interface PciFunction {
  driver?: string;
  cdev?: string;
  group?: number;
  class?: string;
}

/** The tree of the test that runs. */
export class RecordedTree {
  root = "";

  file(path: string, content: string | Buffer = ""): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), content);
  }

  link(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    symlinkSync(target, join(this.root, path));
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true });
  }

  device(bdf: string, of: PciFunction = {}): void {
    const path = `sys/bus/pci/devices/${bdf}`;
    this.file(`${path}/class`, `${of.class ?? "0x020000"}\n`);
    if (of.driver !== undefined) this.link(`${path}/driver`, `../../../../bus/pci/drivers/${of.driver}`);
    if (of.cdev !== undefined) {
      this.file(`${path}/vfio-dev/${of.cdev}/dev`);
      this.file(`dev/vfio/devices/${of.cdev}`);
    }
    if (of.group === undefined) return;
    this.link(`${path}/iommu_group`, `../../../kernel/iommu_groups/${of.group}`);
    this.file(`sys/kernel/iommu_groups/${of.group}/devices/${bdf}`);
  }

  /** An Intel processor. */
  cpu(model: number, flags = "fpu vme"): void {
    this.file(
      "proc/cpuinfo",
      `processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: ${model}\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: ${flags}\n`,
    );
  }

  config(...options: string[]): void {
    this.file("boot/config-6.12.0", options.map((option) => `${option}=m\n`).join(""));
  }

  /** A VT-d unit. */
  vtd(name: string, cap: string, ecap: string): void {
    this.file(`sys/class/iommu/${name}/intel-iommu/cap`, `${cap}\n`);
    this.file(`sys/class/iommu/${name}/intel-iommu/ecap`, `${ecap}\n`);
  }

  /** The chips that deliver interrupts. */
  interrupts(...chips: string[]): void {
    const lines = chips.map((chip, index) => ` ${index + 24}:      12    0  ${chip}   0-edge   eth0\n`);
    this.file(
      "proc/interrupts",
      `            CPU0       CPU1\n${lines.join("")} NMI:   0   0  Non-maskable interrupts\n`,
    );
  }

  /** A process that has a file open. */
  process(pid: number, name: string, ...files: string[]): void {
    this.file(`proc/${pid}/comm`, `${name}\n`);
    for (const [descriptor, path] of files.entries()) this.link(`proc/${pid}/fd/${descriptor}`, path);
  }

  /** A QEMU: what its program has of text. */
  qemu(...texts: string[]): void {
    this.file("usr/bin/qemu-system-x86_64", Buffer.from(`\x7fELF\0${texts.join("\0")}\0`));
  }

  checks(...bdfs: string[]): HostCheck[] {
    return examine(new Machine(this.root), bdfs, { limit: undefined, exempt: false });
  }

  diagnosis(...bdfs: string[]): Diagnosis {
    const machine = new Machine(this.root);
    const checks = this.checks(...bdfs);
    return { origin: originOfMachine(machine), checks, steps: stepsOf(machine, checks, bdfs) };
  }

  /** The checks of one name. */
  check(name: string, ...bdfs: string[]): HostCheck[] {
    return this.checks(...bdfs).filter((each) => each.name === name);
  }
}

/** Texts in the program of Debian's QEMU 11.1.3 that `doctor` looks for. */
export const QEMU_11 = [
  "memory_listener_register",
  "vfio_device_get_viommu_flags_want_nesting",
  "vfio_device_get_host_iommu_quirk_bypass_ro",
  "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright",
];

/** A tree for each test: a machine that is ready, which the test spoils in one way. */
export function recordedTree(): RecordedTree {
  const tree = new RecordedTree();
  beforeEach(() => {
    tree.root = mkdtempSync(join(tmpdir(), "iommufd-tree-"));
    tree.file("proc/sys/kernel/osrelease", "6.12.0\n");
    tree.file("proc/cmdline", "root=/dev/vda1 intel_iommu=on,sm_on quiet\n");
    tree.config("CONFIG_IOMMUFD", "CONFIG_VFIO_DEVICE_CDEV");
    tree.cpu(207);
    tree.interrupts("DMAR-MSI", "IR-PCI-MSIX-0000:00:04.0");
    tree.file("sys/module/iommufd/parameters/allow_unsafe_interrupts", "N\n");
    tree.file("dev/iommu");
    tree.file("proc/kallsyms", "0000000000000000 T _stext\n");
    tree.file("dev/kmsg", "6,339,5140900,-;DMAR: dmar0: Using Queued invalidation\n");
    tree.vtd("dmar0", "19ed008c40780c66", "3ef9e86f050df");
    tree.qemu(...QEMU_11);
    tree.device(BDF, { driver: "vfio-pci", cdev: "vfio0", group: 7 });
  });
  afterEach(() => rmSync(tree.root, { recursive: true }));
  return tree;
}
