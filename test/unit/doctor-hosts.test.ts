/**
 * Reports about hosts of different kinds: Intel's, AMD's and Arm's, guests, containers; and the advice after a symptom.
 */

import { afterEach, describe, expect, it, vi } from "vitest";
import type { CheckStatus } from "../../lib/host/check.ts";
import { Machine } from "../../lib/host/machine.ts";
import { formatDoctor, isReady } from "../../lib/report/doctor-report.ts";
import { BDF, QEMU_11, recordedTree } from "./recorded-tree.ts";

const tree = recordedTree();

afterEach(() => {
  vi.restoreAllMocks();
});

const PARAMETER = "sys/module/iommufd/parameters/allow_unsafe_interrupts";

/** The ready machine with another IOMMU. */
function otherIommu(cpuinfo: string, release: string, ...files: [path: string, text: string][]): void {
  tree.remove("sys/class/iommu");
  tree.file("proc/cpuinfo", cpuinfo);
  tree.file("proc/cmdline", "quiet\n");
  tree.file("proc/sys/kernel/osrelease", `${release}\n`);
  for (const [path, text] of files) tree.file(path, text);
}

const amd = (features: string, release = "7.2.13") =>
  otherIommu("vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n", release, [
    "sys/class/iommu/ivhd0/amd-iommu/features",
    features,
  ]);

const arm = (release = "6.13.0") =>
  otherIommu("CPU implementer\t: 0x41\n", release, ["sys/class/iommu/smmu3.0x0000000009050000/uevent", ""]);

describe("the isolation of interrupts", () => {
  it("is not there without remapping: every bind would be refused, so the host is not ready", () => {
    // As the test machine shows it with intremap=off.
    tree.interrupts("IO-APIC", "DMAR-MSI", "PCI-MSIX-0000:00:03.0");
    tree.file("proc/cmdline", "intel_iommu=on,sm_on intremap=off\n");
    expect(tree.check("interrupt isolation")).toMatchObject([
      {
        name: "interrupt isolation",
        status: "fail",
        found:
          "interrupts are not remapped (/proc/interrupts), as intremap=off tells: binding a device answers EPERM",
        fix: "take intremap=off off the kernel command line; or, where every guest is trusted with the host, echo Y > /sys/module/iommufd/parameters/allow_unsafe_interrupts",
      },
    ]);
    expect(isReady(tree.checks())).toBe(false);
  });

  it("may be waived, which is said", () => {
    tree.interrupts("IO-APIC", "PCI-MSI-0000:00:1f.2");
    tree.file(PARAMETER, "Y\n");
    expect(tree.check("interrupt isolation")).toMatchObject([
      { status: "warn", found: expect.stringContaining("allow_unsafe_interrupts") },
    ]);
    expect(isReady(tree.checks())).toBe(true);
  });

  it.each<[string, string[], CheckStatus]>([
    [
      "AMD's, whose own interrupt is not remapped",
      ["PCI-MSI-0000:00:01.0", "IR-PCI-MSIX-0000:00:04.0"],
      "pass",
    ],
    ["an older kernel's", ["IR-IO-APIC", "IR-PCI-MSI"], "pass"],
    ["Arm's with an ITS", ["GICv3", "ITS-PCI-MSIX-0000:00:02.0"], "pass"],
    ["Arm's without", ["GICv2", "GICv2m-PCI-MSI-0000:00:02.0"], "fail"],
    ["nothing that tells", ["GICv3"], "unknown"],
  ])("%s: %j: %s", (_, chips, status) => {
    tree.interrupts(...chips);
    expect(tree.check("interrupt isolation")).toMatchObject([{ status }]);
  });

  it("where /proc/interrupts is not there: by a unit's registers, the command line, the kernel's log", () => {
    tree.remove("proc/interrupts");
    expect(tree.check("interrupt isolation")).toMatchObject([
      { status: "unknown", fix: expect.stringContaining("EPERM") },
    ]);
    tree.file("dev/kmsg", "6,340,5140901,-;DMAR-IR: Enabled IRQ remapping in x2apic mode\n");
    expect(tree.check("interrupt isolation")).toMatchObject([
      { status: "pass", found: "interrupts are remapped (kernel log)" },
    ]);
    tree.vtd("dmar1", "d2008c40660462", "f050d2"); // without IR
    expect(tree.check("interrupt isolation")).toMatchObject([
      { status: "fail", found: expect.stringContaining("no interrupt remapping in dmar1 (ECAP.IR)") },
    ]);
    tree.remove("sys/class/iommu/dmar1");
    tree.file("proc/cmdline", "nointremap\n");
    expect(tree.check("interrupt isolation")).toMatchObject([{ status: "fail" }]);
  });

  it("is the hypervisor's to give to a guest", () => {
    tree.interrupts("IO-APIC", "PCI-MSI-0000:00:1f.2");
    tree.cpu(207, "fpu hypervisor");
    expect(tree.check("interrupt isolation")[0]?.fix).toContain("intremap=on");
  });
});

describe("the erratum", () => {
  it.each([
    [143, "is Sapphire Rapids, which has ERRATA_772415_SPR17; since 6.7 Linux refuses"],
    [207, "is not Sapphire Rapids; since 6.7 Linux treats every VT-d unit as having ERRATA_772415_SPR17"],
    [85, "is not Sapphire Rapids; since 6.7 Linux treats every VT-d unit as having ERRATA_772415_SPR17"],
  ])("is heeded on every host with VT-d: model %i", (model, words) => {
    tree.cpu(model);
    expect(tree.check("erratum")).toMatchObject([
      { status: "warn", found: expect.stringContaining(words), fix: expect.stringContaining("QEMU 11.0") },
    ]);
    expect(isReady(tree.checks())).toBe(true);
  });

  it("of a processor that cannot be seen, nothing is said but what Linux does", () => {
    tree.remove("proc/cpuinfo");
    expect(tree.check("erratum")).toMatchObject([
      {
        status: "warn",
        found:
          "no /proc/cpuinfo shows the processor; since 6.7 Linux treats every VT-d unit as having ERRATA_772415_SPR17, and refuses read-only mappings in a nest parent",
      },
    ]);
  });

  it("is not of AMD's and Arm's IOMMUs, and nothing of VT-d is asked of them", () => {
    const qemus = vi.spyOn(Machine.prototype, "qemus", "get");
    for (const other of [() => amd("1000000000010:8\n"), arm]) {
      other();
      expect(tree.check("erratum")).toMatchObject([{ status: "pass" }]);
      expect(formatDoctor(tree.diagnosis())).not.toMatch(/scalable mode|intel_iommu|QEMU|kernel log/);
    }
    expect(qemus, "a program of 20 MB is not read for nothing").not.toHaveBeenCalled();
  });
});

describe("AMD's IOMMU", () => {
  it.each<[string, CheckStatus]>([
    ["29d3:0", "fail"], // QEMU's amd-iommu: guest translation, and neither of the others
    ["1000000000010:0", "fail"],
    ["1000000000010:8", "pass"],
    ["", "unknown"],
  ])("with the features %j: nested translation %s", (features, status) => {
    amd(`${features}\n`);
    expect(tree.check("nested translation")).toMatchObject([{ status }]);
  });

  it("nests since Linux 7.0, Arm's since 6.13", () => {
    amd("1000000000010:8\n", "6.19.1");
    expect(tree.check("kernel")).toMatchObject([{ status: "fail", fix: expect.stringContaining("AMD-Vi") }]);
    arm("6.12.1");
    expect(tree.check("kernel")).toMatchObject([{ status: "fail", fix: expect.stringContaining("SMMUv3") }]);
    arm();
    expect(tree.check("kernel")).toMatchObject([{ status: "pass" }]);
    expect(tree.check("nested translation")).toMatchObject([
      { status: "unknown", fix: expect.stringContaining("iommufd probe") },
    ]);
  });
});

it("of a machine whose IOMMU nobody knows, no release of another's is said", () => {
  otherIommu("processor\t: 0\nisa\t: rv64imafdc\n", "6.7.12");
  expect(tree.check("kernel")).toMatchObject([{ status: "pass", found: "Linux 6.7.12" }]);
  tree.file("proc/sys/kernel/osrelease", "6.5.0\n");
  tree.config("CONFIG_IOMMUFD");
  tree.remove(`sys/bus/pci/devices/${BDF}/vfio-dev`);
  const [kernel] = tree.check("kernel");
  expect(kernel).toMatchObject({ status: "fail", fix: expect.stringContaining("VFIO's character devices") });
  expect(formatDoctor(tree.diagnosis())).not.toContain("VT-d");
});

describe("without an IOMMU, the advice is for", () => {
  const advice = () => {
    tree.remove("sys/class/iommu");
    return tree.check("IOMMU")[0]?.fix;
  };

  it("Intel's host", () => expect(advice()).toMatch(/^turn it on: .*VT-d /));

  it("AMD's", () => {
    amd("");
    expect(advice()).toMatch(/AMD-Vi/);
    expect(formatDoctor(tree.diagnosis())).not.toMatch(/VT-d in|intel_iommu=on/);
  });

  it("Arm's", () => {
    arm();
    expect(advice()).toMatch(/SMMUv3/);
  });

  it("a guest", () => {
    tree.cpu(207, "fpu hypervisor");
    expect(advice()).toMatch(/^this is a guest: its hypervisor has to give it an IOMMU/);
  });

  it.each<[string, string, boolean]>([
    ["QEMU", "QEMU Virtual Machine", true],
    ["Microsoft Corporation", "Virtual Machine", true],
    ["Microsoft Corporation", "Surface Pro 11th Edition", false],
    ["Amazon EC2", "m7g.metal", false],
    ["Amazon EC2", "m7g.large", true],
    ["Ampere", "Altra", false],
  ])("%s, %s on Arm, a guest: %s", (vendor, product, isGuest) => {
    arm();
    tree.file("sys/class/dmi/id/sys_vendor", `${vendor}\n`);
    tree.file("sys/class/dmi/id/product_name", `${product}\n`);
    expect(new Machine(tree.root).platform.guest).toBe(isGuest);
  });

  it("a container", () => {
    tree.file(".dockerenv");
    tree.remove("dev/iommu");
    expect(advice()).toMatch(/^on the host of this container: /);
    expect(tree.check("/dev/iommu")[0]?.fix).toMatch(/^give it to this container/);
  });
});

it("a mock of the kernel's own tests is no IOMMU", () => {
  tree.file("sys/class/iommu/iommufd_selftest_iommu.0/uevent");
  expect(tree.check("IOMMU")).toMatchObject([
    {
      status: "pass",
      found: "dmar0 (besides a mock of the kernel's own tests, which is none: iommufd_selftest_iommu.0)",
    },
  ]);
  tree.remove("sys/class/iommu/dmar0");
  expect(tree.check("IOMMU")).toMatchObject([{ status: "fail" }]);
});

describe("the kernel's log", () => {
  const LINE =
    "Read-only mapping is disallowed on the domain which serves as the parent in a nested configuration, due to HW errata (ERRATA_772415_SPR17)";

  it("has the kernel's line where a mapping was refused", () => {
    tree.file("dev/kmsg", `6,339,1,-;DMAR: IOMMU enabled\n3,812,2,-;DMAR: ${LINE}\n`);
    expect(tree.check("kernel log")).toMatchObject([
      {
        name: "kernel log",
        status: "warn",
        found: "a read-only mapping in a nest parent was refused (ERRATA_772415_SPR17 in /dev/kmsg)",
        fix: "a VMM that nests maps read-only memory: QEMU 11.0 and later leave read-only memory out; docs/troubleshooting.md",
      },
    ]);
  });

  it("may be in a file alone, or nowhere that this user may read", () => {
    tree.remove("dev/kmsg");
    tree.file("var/log/kern.log", `Nov 23 host kernel: [5.1] ${LINE}\n`);
    expect(tree.check("kernel log")).toMatchObject([
      { status: "warn", found: expect.stringContaining("/var/log/kern.log") },
    ]);
    tree.remove("var/log/kern.log");
    expect(tree.check("kernel log")).toMatchObject([
      { status: "unknown", fix: expect.stringContaining("dmesg | grep ERRATA_772415_SPR17") },
    ]);
  });
});

describe("QEMU", () => {
  const [beside = "", nests = "", bypasses = "", version = ""] = QEMU_11;

  it.each<[string, string[], CheckStatus, string]>([
    ["10.0.2 of Debian", [beside, "QEMU emulator version 10.0.2 (Debian)"], "warn", "does not nest"],
    [
      "10.0.2 with nesting alone",
      [beside, nests, "QEMU emulator version 10.0.2"],
      "warn",
      "without commit 68d3a2a24d",
    ],
    [
      "10.0.2 with a backport",
      [beside, nests, bypasses, "QEMU emulator version 10.0.2 (X)"],
      "pass",
      "10.0.2 (X)",
    ],
    ["10.0.2, names stripped", ["QEMU emulator version 10.0.2"], "unknown", "whether 10.0.2"],
    ["11.1.3, names stripped", [version], "pass", "11.1.3"],
    ["7.2.22 of Debian", [beside, "QEMU emulator version 7.2.22 (Debian)"], "warn", "does not nest"],
    ["a wrapper", [], "unknown", "whether of an unknown version"],
  ])("%s", (_, texts, status, words) => {
    tree.qemu(...texts);
    expect(tree.check("QEMU")).toMatchObject([{ status, found: expect.stringContaining(words) }]);
  });

  it("none: of one that runs something else tells", () => {
    tree.remove("usr");
    expect(tree.check("QEMU")).toMatchObject([{ status: "unknown", fix: expect.stringContaining("--qmp") }]);
  });
});

it("who has a device is said, and is no fault", () => {
  tree.process(4711, "qemu-system-x86", "/dev/null", "/dev/vfio/devices/vfio0");
  expect(tree.check(BDF)[0]).toMatchObject({
    status: "pass",
    found: "vfio-pci, /dev/vfio/devices/vfio0, in use by qemu-system-x86 (process 4711)",
  });
});

it("a kernel whose version is too low, and that has what is needed: what is seen counts", () => {
  tree.file("proc/sys/kernel/osrelease", "5.14.0-570.12.1.el9_6.x86_64\n");
  tree.remove("sys/class/iommu/dmar0");
  tree.vtd("dmar0", "d2008c40660462", "f050da"); // cannot nest, so character devices are enough
  tree.file("proc/kallsyms", "0000000000000000 T _stext\n"); // VFIO is not loaded
  tree.remove("boot");
  expect(tree.check("kernel")).toMatchObject([
    { status: "pass", found: expect.stringMatching(/which has what came with Linux 6\.6 \(\/dev\/vfio/) },
  ]);
  tree.remove(`sys/bus/pci/devices/${BDF}/vfio-dev`);
  expect(tree.check("kernel")).toMatchObject([{ status: "fail" }]);
  tree.file("sys/class/misc/iommu");
  expect(tree.check("kernel")).toMatchObject([
    { status: "unknown", found: expect.stringContaining("VFIO's character devices") },
  ]);
  const options = ["CONFIG_IOMMUFD", "CONFIG_VFIO_DEVICE_CDEV"];
  tree.file("boot/config-5.14.0-570.12.1.el9_6.x86_64", options.map((each) => `${each}=m\n`).join(""));
  expect(tree.check("kernel")).toMatchObject([
    {
      status: "pass",
      found: expect.stringMatching(/which has what came with Linux 6\.6 \(CONFIG_VFIO_DEVICE_CDEV\)$/),
    },
  ]);
});

it("a device that the firmware keeps memory for: nobody is told to take it from the host for nothing", () => {
  tree.remove(`sys/bus/pci/devices/${BDF}/vfio-dev`);
  tree.remove(`sys/bus/pci/devices/${BDF}/driver`);
  tree.link(`sys/bus/pci/devices/${BDF}/driver`, "../../../../bus/pci/drivers/hpsa");
  tree.file("sys/kernel/iommu_groups/7/reserved_regions", "0x000000007b800000 0x000000007bffffff direct\n");
  expect(tree.check(BDF, BDF)).toMatchObject([
    { status: "fail", found: expect.stringContaining("0x7b800000-0x7bffffff") },
  ]);
  const { steps } = tree.diagnosis(BDF);
  expect(steps[0]?.title).toMatch(/^0000:6a:01\.0: use a device of another group; or turn off /);
  expect(JSON.stringify(steps)).not.toContain("driver_override");
});
