/** The examination of a host, on trees as machines show them. */

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { CheckStatus } from "../../lib/host/check.ts";
import { examine } from "../../lib/host/doctor.ts";
import { Machine } from "../../lib/host/machine.ts";
import { parseReservedRegions } from "../../lib/host/reserved-regions.ts";
import { doctorDocument, formatDoctor, isReady } from "../../lib/report/doctor-report.ts";
import { BDF, recordedTree } from "./recorded-tree.ts";

const tree = recordedTree();

it("a machine that is ready", () => {
  expect(tree.checks().map(({ status, name, found }) => `${status} ${name}: ${found}`)).toEqual([
    "pass kernel: Linux 6.12.0",
    "pass kernel config: CONFIG_IOMMUFD=m, CONFIG_VFIO_DEVICE_CDEV=m",
    "pass /dev/iommu: can be opened",
    "pass IOMMU: dmar0",
    "pass interrupt isolation: interrupts are remapped (IR-PCI-MSIX-0000:00:04.0 in /proc/interrupts)",
    "pass nested translation: able to: dmar0",
    "pass scalable mode: asked for on the kernel command line (sm_on)",
    "warn erratum: Intel(R) Xeon(R), family 6 model 207, is not Sapphire Rapids; since 6.7 Linux treats every VT-d unit as having ERRATA_772415_SPR17, and refuses read-only mappings in a nest parent",
    "pass kernel log: no read-only mapping was refused, as far as /dev/kmsg goes back",
    "pass QEMU: 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1), /usr/bin/qemu-system-x86_64: leaves read-only memory out of a nest parent (commit 68d3a2a24d)",
    "pass locked memory: no limit",
    `pass ${BDF}: vfio-pci, /dev/vfio/devices/vfio0`,
    `pass ${BDF}: alone in IOMMU group 7`,
  ]);
  expect(formatDoctor(tree.diagnosis())).toContain(
    "\n\nReady, as far as can be seen without opening a device.\n",
  );
  expect(formatDoctor(tree.diagnosis())).toContain("\nOnly `iommufd probe` opens devices: ");
});

it("a document calls a machine ready where all could be seen, and does not know where not", () => {
  const ready = () => doctorDocument(tree.diagnosis());
  expect(ready()).toMatchObject({ ready: true });
  tree.remove("dev/kmsg");
  expect(tree.check("kernel log")).toMatchObject([{ status: "unknown" }]);
  expect(ready()).toMatchObject({ ready: null });
  tree.remove("dev/iommu");
  expect(ready()).toMatchObject({ ready: false });
});

it("a tree with nothing in it: what cannot be seen is said, and nothing is called ready that is not", () => {
  tree.remove(".");
  mkdirSync(tree.root);
  expect(tree.checks().map(({ status, name }) => [name, status])).toEqual([
    ["kernel", "unknown"],
    ["kernel config", "unknown"],
    ["/dev/iommu", "fail"],
    ["IOMMU", "fail"],
    ["interrupt isolation", "unknown"],
    ["nested translation", "unknown"],
    ["erratum", "unknown"],
    ["kernel log", "unknown"],
    ["QEMU", "unknown"],
    ["locked memory", "pass"],
    ["devices", "warn"],
  ]);
  expect(isReady(tree.checks())).toBe(false);
  for (const { status, fix } of tree.checks()) expect(fix === null).toBe(status === "pass");
});

describe("the kernel", () => {
  it.each<[string, CheckStatus]>([
    ["5.15.0-91-generic", "fail"],
    ["6.7.12", "fail"],
    ["6.8.0", "pass"],
    ["7.2.13", "pass"],
    ["unheard of", "unknown"],
  ])("%s: %s", (release, status) => {
    tree.file("proc/sys/kernel/osrelease", `${release}\n`);
    expect(tree.check("kernel")).toMatchObject([{ status }]);
  });

  it("its configuration, in /boot and in /proc/config.gz", () => {
    tree.config("CONFIG_IOMMU_IOVA");
    expect(tree.check("kernel config")).toMatchObject([
      { status: "fail", found: "without CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV" },
    ]);
    tree.file("proc/config.gz", gzipSync("CONFIG_IOMMUFD=y\n# CONFIG_VFIO_DEVICE_CDEV is not set\n"));
    expect(tree.check("kernel config")).toMatchObject([{ found: "without CONFIG_VFIO_DEVICE_CDEV" }]);
  });

  it("without /dev/iommu: a module where there is one, another kernel where not", () => {
    tree.remove("dev/iommu");
    expect(tree.check("/dev/iommu")).toMatchObject([
      { status: "fail", fix: "load the module: modprobe iommufd" },
    ]);
    tree.config();
    expect(tree.check("/dev/iommu")).toMatchObject([
      { fix: "it comes with a kernel that has CONFIG_IOMMUFD" },
    ]);
  });
});

it("a release that would lead out of the tree is none", () => {
  const outside = mkdtempSync(join(tmpdir(), "iommufd-outside-"));
  try {
    writeFileSync(join(outside, "config"), "CONFIG_IOMMUFD=y\n");
    tree.file("boot/config-/x");
    tree.file("proc/sys/kernel/osrelease", `/../../..${outside}/config\n`);
    expect(new Machine(tree.root)).toMatchObject({ kernelRelease: undefined, kernelConfig: undefined });
  } finally {
    rmSync(outside, { recursive: true });
  }
});

describe("the IOMMU", () => {
  it("none, switched off", () => {
    tree.remove("sys/class/iommu");
    tree.file("proc/cmdline", "intel_iommu=off\n");
    expect(tree.check("IOMMU")).toMatchObject([
      { status: "fail", found: "none is in use, with intel_iommu=off" },
    ]);
    expect(tree.check("nested translation")).toMatchObject([{ status: "unknown" }]);
  });

  it("units that cannot nest", () => {
    tree.vtd("dmar1", "d2008c40660462", "f050da"); // a client of 2017: no scalable mode
    expect(tree.check("nested translation")).toMatchObject([
      { status: "warn", found: "able to: dmar0; not: dmar1" },
    ]);
    tree.remove("sys/class/iommu/dmar0");
    expect(tree.check("nested translation")).toMatchObject([
      { status: "fail", found: "none of the VT-d units is able to: dmar1" },
    ]);
  });

  it.each<[string, string[], CheckStatus]>([
    ["intel_iommu=on,sm_off", [], "fail"],
    ["intel_iommu=sm_off intel_iommu=on,sm_on", [], "pass"],
    ["quiet", [], "fail"],
    ["quiet", ["CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON"], "pass"],
    ["intel_iommu=sm_off", ["CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON"], "fail"],
  ])("scalable mode with %s and %j: %s", (commandLine, options, status) => {
    tree.file("proc/cmdline", `${commandLine}\n`);
    tree.config(...options);
    expect(tree.check("scalable mode")).toMatchObject([{ status }]);
  });

  it("scalable mode by a default that cannot be seen", () => {
    tree.file("proc/cmdline", "quiet\n");
    tree.remove("boot");
    expect(tree.check("scalable mode")).toMatchObject([{ status: "warn" }]);
  });
});

it("a limit of less than a MiB is not said to be none", () => {
  expect(examine(new Machine(tree.root), [], { limit: 64n << 10n, exempt: false })).toContainEqual(
    expect.objectContaining({ name: "locked memory", status: "warn", found: "at most 64 KiB" }),
  );
});

it.each<[bigint | undefined, boolean, CheckStatus]>([
  [8n << 20n, false, "warn"],
  [8n << 20n, true, "pass"],
  [64n << 30n, false, "pass"],
  [undefined, false, "pass"],
])("a limit of %s on locked memory, exempt: %s: %s", (limit, exempt, status) => {
  expect(examine(new Machine(tree.root), [], { limit, exempt })).toContainEqual(
    expect.objectContaining({ name: "locked memory", status }),
  );
});

describe("a device", () => {
  const OTHER = "0000:6a:02.0";

  it("that is not there", () => {
    expect(tree.check(OTHER, OTHER)).toMatchObject([{ status: "fail", found: "no such PCI device" }]);
  });

  it("with another driver, with none: the command that binds it", () => {
    tree.device(OTHER, { driver: "ixgbe", group: 8 });
    expect(tree.check(OTHER, OTHER)).toMatchObject([
      {
        status: "fail",
        found: "its driver is ixgbe",
        fix: `echo vfio-pci > /sys/bus/pci/devices/${OTHER}/driver_override && echo ${OTHER} > /sys/bus/pci/devices/${OTHER}/driver/unbind && echo ${OTHER} > /sys/bus/pci/drivers_probe`,
      },
      { status: "pass" },
    ]);
    tree.remove(`sys/bus/pci/devices/${OTHER}/driver`);
    expect(tree.check(OTHER, OTHER)).toMatchObject([
      { status: "fail", found: "has no driver", fix: expect.not.stringContaining("unbind") },
      { status: "pass" },
    ]);
  });

  it("of a vendor's VFIO driver is as good", () => {
    tree.device(OTHER, { driver: "mlx5_vfio_pci", cdev: "vfio1", group: 8 });
    expect(tree.check(OTHER)).toMatchObject([
      { status: "pass", found: "mlx5_vfio_pci, /dev/vfio/devices/vfio1" },
      { status: "pass" },
    ]);
  });

  it("whose character device is not there, or is not offered", () => {
    tree.remove("dev/vfio/devices/vfio0");
    expect(tree.check(BDF)[0]).toMatchObject({
      status: "fail",
      found: "/dev/vfio/devices/vfio0 is not there",
    });
    tree.remove(`sys/bus/pci/devices/${BDF}/vfio-dev`);
    expect(tree.check(BDF)[0]).toMatchObject({
      status: "fail",
      found: "vfio-pci has it, without a character device, though the kernel has CONFIG_VFIO_DEVICE_CDEV",
      fix: expect.stringMatching(/^bind it again, and see what dmesg says of it: /),
    });
    tree.config("CONFIG_IOMMUFD");
    expect(tree.check(BDF)[0]).toMatchObject({ fix: "use a kernel with CONFIG_VFIO_DEVICE_CDEV" });
  });

  it("that no IOMMU translates for, though there is one: another slot, and not that it be turned on", () => {
    tree.remove(`sys/bus/pci/devices/${BDF}/iommu_group`);
    const fix = "use another slot: this one is behind no IOMMU";
    expect(tree.check(BDF)).toMatchObject([{ status: "pass" }, { status: "fail", fix }]);
    tree.remove(`sys/bus/pci/devices/${BDF}/vfio-dev`);
    expect(tree.check(BDF)).toMatchObject([
      { status: "fail", fix },
      { status: "fail", fix },
    ]);
  });

  it("that shares its group: with a bridge, with one free, with one in use", () => {
    tree.device("0000:6a:00.0", { class: "0x060400", driver: "pcieport", group: 7 });
    expect(tree.check(BDF)[1]).toMatchObject({ status: "pass", found: "alone in IOMMU group 7" });
    tree.device("0000:6a:01.1", { driver: "vfio-pci", cdev: "vfio1", group: 7 });
    tree.device("0000:6a:01.2", { group: 7 });
    expect(tree.check(BDF)[1]).toMatchObject({
      status: "warn",
      found: "shares IOMMU group 7 with 0000:6a:01.1 (vfio-pci), 0000:6a:01.2 (no driver)",
    });
    tree.device("0000:6a:01.3", { driver: "ahci", group: 7 });
    expect(tree.check(BDF)[1]).toMatchObject({ status: "fail" });
  });
});

describe("a device whose firmware reserves memory for its group", () => {
  const MSI = "0x00000000fee00000 0x00000000feefffff msi\n";
  const RESERVED = "0x000000fd00000000 0x000000ffffffffff reserved\n";
  const regions = (...lines: string[]) =>
    tree.file("sys/kernel/iommu_groups/7/reserved_regions", lines.join(""));

  it("that has to stay mapped: the kernel gives it to nobody", () => {
    regions(
      "0x000000007b800000 0x000000007bffffff direct\n",
      "0x000000007d000000 0x000000007d0fffff direct\n",
      MSI,
    );
    expect(tree.check(BDF).at(-1)).toMatchObject({
      name: BDF,
      status: "fail",
      found:
        "the firmware keeps memory mapped for IOMMU group 7: 0x7b800000-0x7bffffff, 0x7d000000-0x7d0fffff (RMRR of the DMAR table); binding its devices answers EINVAL",
      fix: expect.stringMatching(/^use a device of another group; or turn off what uses that memory/),
    });
    expect(isReady(tree.checks())).toBe(false);
  });

  it("that Linux lets go of, which is no obstacle", () => {
    regions("0x000000007b800000 0x000000007bffffff direct-relaxable\n", MSI);
    expect(tree.check(BDF).at(-1)).toMatchObject({
      status: "pass",
      found: expect.stringContaining("0x7b800000-0x7bffffff (direct-relaxable)"),
    });
    expect(isReady(tree.checks())).toBe(true);
  });

  it.each([[[MSI]], [[MSI, RESERVED]], [["what no kernel says direct\n"]], [[]]])(
    "%j: nothing of it",
    (lines) => {
      const before = tree.checks();
      regions(...lines);
      expect(tree.checks()).toEqual(before);
    },
  );

  it("any regions are read as they were written", () => {
    const region = fc.record({
      start: fc.bigInt(0n, 2n ** 64n - 1n),
      last: fc.bigInt(0n, 2n ** 64n - 1n),
      type: fc.constantFrom("direct", "direct-relaxable", "reserved", "msi"),
    });
    const hex = (value: bigint) => `0x${value.toString(16).padStart(16, "0")}`;
    fc.assert(
      fc.property(fc.array(region), (list) => {
        const text = list.map(({ start, last, type }) => `${hex(start)} ${hex(last)} ${type}\n`).join("");
        expect(parseReservedRegions(text)).toEqual(list);
      }),
    );
  });
});

describe("a device that shares its group below a bridge", () => {
  const BRIDGE = "0000:6a:00.0";
  const MATE = "0000:6b:01.0";
  const DEVICE = "0000:6b:00.0";

  beforeEach(() => {
    for (const bdf of [DEVICE, MATE]) {
      tree.device(bdf, { driver: "vfio-pci", cdev: `vfio${bdf.at(-3)}`, group: 9 });
      const place = `sys/devices/pci0000:6a/${BRIDGE}/${bdf}`;
      mkdirSync(dirname(join(tree.root, place)), { recursive: true });
      renameSync(join(tree.root, `sys/bus/pci/devices/${bdf}`), join(tree.root, place));
      symlinkSync(join(tree.root, place), join(tree.root, `sys/bus/pci/devices/${bdf}`));
    }
    tree.device(BRIDGE, { class: "0x060400", driver: "pcieport", group: 8 });
  });

  /** A PCI Express bridge's configuration space, with capabilities in a list that begins at 0x40. */
  const config = (expressType: number, length = 4096) => {
    const bytes = Buffer.alloc(length);
    bytes.writeUInt16LE(0x10, 0x06); // there are capabilities
    bytes[0x34] = 0x40;
    bytes.writeUInt16LE(0x4801, 0x40); // power management, and the next at 0x48
    bytes.writeUInt16LE(0x0010, 0x48); // PCI Express
    bytes.writeUInt16LE((expressType << 4) | 2, 0x4a);
    return bytes;
  };
  const ROOT_PORT = 4;

  it("without ACS", () => {
    tree.file(`sys/bus/pci/devices/${BRIDGE}/config`, config(ROOT_PORT));
    expect(tree.check(DEVICE, DEVICE)[2]).toMatchObject({
      name: DEVICE,
      status: "warn",
      found: `ACS is not on at ${BRIDGE}, above it`,
      fix: "to have it alone, use a slot below a port that has ACS (lspci -vv: ACSCtl)",
    });
  });

  it("with ACS", () => {
    const space = config(ROOT_PORT);
    space.writeUInt32LE(0x0001_000d, 0x100);
    space.writeUInt16LE(0x1d, 0x106);
    tree.file(`sys/bus/pci/devices/${BRIDGE}/config`, space);
    expect(tree.check(DEVICE, DEVICE)[2]).toMatchObject({
      status: "pass",
      found: `ACS is on at ${BRIDGE}, above it: its group has another reason`,
    });
  });

  it.each([
    ["of PCI Express to PCI", config(7)],
    ["of PCI to PCI Express", config(8)],
    ["of PCI to PCI", config(ROOT_PORT, 256).fill(0, 0x06, 0x08)],
    ["without the capability of PCI Express", config(ROOT_PORT, 256).fill(0, 0x48, 0x4c)],
  ])("that is a bridge %s: ACS is not to blame", (_, space) => {
    tree.file(`sys/bus/pci/devices/${BRIDGE}/config`, space);
    expect(tree.check(DEVICE, DEVICE)[2]).toMatchObject({
      status: "warn",
      found: `is below ${BRIDGE}, a bridge to conventional PCI, which speaks for all below it`,
      fix: "to have it alone, use a slot of PCI Express: no setting of the bridge helps",
    });
  });

  it("that shows this user no more than 64 bytes", () => {
    tree.file(`sys/bus/pci/devices/${BRIDGE}/config`, Buffer.alloc(64));
    expect(tree.check(DEVICE, DEVICE)[2]).toMatchObject({
      status: "unknown",
      found: `cannot be seen: ACS of ${BRIDGE}, above it, which only root may read`,
    });
  });
});

it("nothing that a machine says of itself reaches a terminal as it is", () => {
  tree.file("proc/cpuinfo", "vendor_id\t: \u001b[2J\nmodel name\t: \u001b]0;owned\u0007\n");
  tree.file("proc/sys/kernel/osrelease", "6.12.0\u001b[31m\n");
  tree.file("sys/bus/pci/devices/000\u0010:6a:01.0/vfio-dev/vfio7/dev");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  expect(formatDoctor(tree.diagnosis())).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
});
