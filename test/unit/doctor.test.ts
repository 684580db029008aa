/** The examination of a host, on trees as machines show them. */

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CheckStatus, examine } from "../../lib/host/doctor.ts";
import { Machine } from "../../lib/host/machine.ts";
import { formatDoctor, isReady } from "../../lib/report/doctor-report.ts";

let root: string;

const BDF = "0000:6a:01.0";

function file(path: string, content: string | Buffer = ""): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

function remove(path: string): void {
  rmSync(join(root, path), { recursive: true });
}

/** A PCI function as sysfs shows one. */
function device(
  bdf: string,
  of: { driver?: string; cdev?: string; group?: number; class?: string } = {},
): void {
  const path = `sys/bus/pci/devices/${bdf}`;
  file(`${path}/class`, `${of.class ?? "0x020000"}\n`);
  if (of.driver !== undefined)
    symlinkSync(`../../../../bus/pci/drivers/${of.driver}`, join(root, path, "driver"));
  if (of.cdev !== undefined) {
    file(`${path}/vfio-dev/${of.cdev}/dev`);
    file(`dev/vfio/devices/${of.cdev}`);
  }
  if (of.group === undefined) return;
  symlinkSync(`../../../kernel/iommu_groups/${of.group}`, join(root, path, "iommu_group"));
  file(`sys/kernel/iommu_groups/${of.group}/devices/${bdf}`);
}

function cpu(model: number): void {
  file(
    "proc/cpuinfo",
    `processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: ${model}\nmodel name\t: Intel(R) Xeon(R)\n`,
  );
}

function config(...options: string[]): void {
  file("boot/config-6.12.0", options.map((option) => `${option}=m\n`).join(""));
}

function iommu(name: string, cap: string, ecap: string): void {
  file(`sys/class/iommu/${name}/intel-iommu/cap`, `${cap}\n`);
  file(`sys/class/iommu/${name}/intel-iommu/ecap`, `${ecap}\n`);
}

const checks = (...bdfs: string[]) => examine(new Machine(root), bdfs, { limit: undefined, exempt: false });

/** The checks of one name. */
const check = (name: string, ...bdfs: string[]) => checks(...bdfs).filter((each) => each.name === name);

/** A machine that is ready, which each test spoils in one way. */
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "iommufd-doctor-"));
  file("proc/sys/kernel/osrelease", "6.12.0\n");
  file("proc/cmdline", "root=/dev/vda1 intel_iommu=on,sm_on quiet\n");
  config("CONFIG_IOMMUFD", "CONFIG_VFIO_DEVICE_CDEV");
  cpu(207);
  file("dev/iommu");
  iommu("dmar0", "19ed008c40780c66", "3ef9e86f050df");
  device(BDF, { driver: "vfio-pci", cdev: "vfio0", group: 7 });
});

afterEach(() => rmSync(root, { recursive: true }));

it("a machine that is ready", () => {
  expect(checks().map(({ status, name, found }) => `${status} ${name}: ${found}`)).toEqual([
    "pass kernel: Linux 6.12.0",
    "pass kernel config: CONFIG_IOMMUFD=m, CONFIG_VFIO_DEVICE_CDEV=m",
    "pass /dev/iommu: can be opened",
    "pass IOMMU: dmar0",
    "pass nested translation: VT-d units able to: dmar0",
    "pass scalable mode: asked for on the kernel command line (sm_on)",
    "pass processor: Intel(R) Xeon(R), family 6 model 207: not Sapphire Rapids, whose specification update has ERRATA_772415_SPR17",
    "pass locked memory: no limit",
    `pass ${BDF}: vfio-pci, /dev/vfio/devices/vfio0`,
    `pass ${BDF}: alone in IOMMU group 7`,
  ]);
  expect(formatDoctor(checks())).toMatch(/\n\nReady: nothing stands in the way\.$/);
});

it("a tree with nothing in it: what cannot be seen is said, and nothing is called ready that is not", () => {
  remove(".");
  mkdirSync(root);
  expect(checks().map(({ status, name }) => [name, status])).toEqual([
    ["kernel", "unknown"],
    ["kernel config", "unknown"],
    ["/dev/iommu", "fail"],
    ["IOMMU", "fail"],
    ["nested translation", "unknown"],
    ["scalable mode", "unknown"],
    ["processor", "unknown"],
    ["locked memory", "pass"],
    ["devices", "warn"],
  ]);
  expect(isReady(checks())).toBe(false);
});

describe("the kernel", () => {
  it.each<[string, CheckStatus]>([
    ["5.15.0-91-generic", "fail"],
    ["6.7.12", "fail"],
    ["6.8.0", "pass"],
    ["7.2.13", "pass"],
    ["unheard of", "unknown"],
  ])("%s: %s", (release, status) => {
    file("proc/sys/kernel/osrelease", `${release}\n`);
    expect(check("kernel")).toMatchObject([{ status }]);
  });

  it("its configuration, in /boot and in /proc/config.gz", () => {
    config("CONFIG_IOMMU_IOVA");
    expect(check("kernel config")).toMatchObject([
      { status: "fail", found: "without CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV" },
    ]);
    file("proc/config.gz", gzipSync("CONFIG_IOMMUFD=y\n# CONFIG_VFIO_DEVICE_CDEV is not set\n"));
    expect(check("kernel config")).toMatchObject([{ found: "without CONFIG_VFIO_DEVICE_CDEV" }]);
  });

  it("without /dev/iommu: a module where there is one, another kernel where not", () => {
    remove("dev/iommu");
    expect(check("/dev/iommu")).toMatchObject([{ status: "fail", fix: "load the module: modprobe iommufd" }]);
    config();
    expect(check("/dev/iommu")).toMatchObject([{ fix: "it comes with a kernel that has CONFIG_IOMMUFD" }]);
  });
});

it("a release that would lead out of the tree is none", () => {
  const outside = mkdtempSync(join(tmpdir(), "iommufd-outside-"));
  try {
    writeFileSync(join(outside, "config"), "CONFIG_IOMMUFD=y\n");
    file("boot/config-/x");
    file("proc/sys/kernel/osrelease", `/../../..${outside}/config\n`);
    expect(new Machine(root)).toMatchObject({ kernelRelease: undefined, kernelConfig: undefined });
  } finally {
    rmSync(outside, { recursive: true });
  }
});

describe("the IOMMU", () => {
  it("none, switched off", () => {
    remove("sys/class/iommu");
    file("proc/cmdline", "intel_iommu=off\n");
    expect(check("IOMMU")).toMatchObject([{ status: "fail", found: "none is in use, with intel_iommu=off" }]);
    expect(check("nested translation")).toMatchObject([{ status: "unknown" }]);
  });

  it("of another make", () => {
    remove("sys/class/iommu");
    file("sys/class/iommu/ivhd0/amd-iommu/cap", "0\n");
    expect(check("IOMMU")).toMatchObject([{ status: "pass", found: "ivhd0" }]);
    expect(check("nested translation")).toMatchObject([{ status: "unknown" }]);
  });

  it("units that cannot nest", () => {
    iommu("dmar1", "d2008c40660462", "f050da"); // a client of 2017: no scalable mode
    expect(check("nested translation")).toMatchObject([
      { status: "warn", found: "VT-d units able to: dmar0; not: dmar1" },
    ]);
    remove("sys/class/iommu/dmar0");
    expect(check("nested translation")).toMatchObject([
      { status: "fail", found: "no VT-d unit is able to: dmar1" },
    ]);
  });

  it.each<[string, string[], CheckStatus]>([
    ["intel_iommu=on,sm_off", [], "fail"],
    ["intel_iommu=sm_off intel_iommu=on,sm_on", [], "pass"],
    ["quiet", [], "fail"],
    ["quiet", ["CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON"], "pass"],
    ["intel_iommu=sm_off", ["CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON"], "fail"],
  ])("scalable mode with %s and %j: %s", (commandLine, options, status) => {
    file("proc/cmdline", `${commandLine}\n`);
    config(...options);
    expect(check("scalable mode")).toMatchObject([{ status }]);
  });

  it("scalable mode by a default that cannot be seen", () => {
    file("proc/cmdline", "quiet\n");
    remove("boot");
    expect(check("scalable mode")).toMatchObject([{ status: "warn" }]);
  });
});

it("Sapphire Rapids is named, without calling the host unready for it", () => {
  cpu(143);
  const [found] = check("processor");
  expect(found).toMatchObject({
    status: "warn",
    found: expect.stringMatching(/model 143: Sapphire Rapids, .* ERRATA_772415_SPR17$/),
  });
  expect(isReady(checks())).toBe(true);
});

it.each<[bigint | undefined, boolean, CheckStatus]>([
  [8n << 20n, false, "warn"],
  [8n << 20n, true, "pass"],
  [64n << 30n, false, "pass"],
  [undefined, false, "pass"],
])("a limit of %s on locked memory, exempt: %s: %s", (limit, exempt, status) => {
  expect(examine(new Machine(root), [], { limit, exempt })).toContainEqual(
    expect.objectContaining({ name: "locked memory", status }),
  );
});

describe("a device", () => {
  const OTHER = "0000:6a:02.0";

  it("that is not there", () => {
    expect(check(OTHER, OTHER)).toMatchObject([{ status: "fail", found: "no such PCI device" }]);
  });

  it("with another driver, with none: the command that binds it", () => {
    device(OTHER, { driver: "ixgbe", group: 8 });
    expect(check(OTHER, OTHER)).toMatchObject([
      {
        status: "fail",
        found: "its driver is ixgbe",
        fix: `echo vfio-pci > /sys/bus/pci/devices/${OTHER}/driver_override && echo ${OTHER} > /sys/bus/pci/devices/${OTHER}/driver/unbind && echo ${OTHER} > /sys/bus/pci/drivers_probe`,
      },
      { status: "pass" },
    ]);
    remove(`sys/bus/pci/devices/${OTHER}/driver`);
    expect(check(OTHER, OTHER)).toMatchObject([
      { status: "fail", found: "has no driver", fix: expect.not.stringContaining("unbind") },
      { status: "pass" },
    ]);
  });

  it("of a vendor's VFIO driver is as good", () => {
    device(OTHER, { driver: "mlx5_vfio_pci", cdev: "vfio1", group: 8 });
    expect(check(OTHER)).toMatchObject([
      { status: "pass", found: "mlx5_vfio_pci, /dev/vfio/devices/vfio1" },
      { status: "pass" },
    ]);
  });

  it("whose character device is not there, or is not offered", () => {
    remove("dev/vfio/devices/vfio0");
    expect(check(BDF)[0]).toMatchObject({ status: "fail", found: "/dev/vfio/devices/vfio0 is not there" });
    remove(`sys/bus/pci/devices/${BDF}/vfio-dev`);
    expect(check(BDF)[0]).toMatchObject({
      status: "fail",
      fix: "use a kernel with CONFIG_VFIO_DEVICE_CDEV",
    });
  });

  it("that no IOMMU translates for", () => {
    remove(`sys/bus/pci/devices/${BDF}/iommu_group`);
    expect(check(BDF)).toMatchObject([{ status: "pass" }, { status: "fail" }]);
  });

  it("that shares its group: with a bridge, with one free, with one in use", () => {
    device("0000:6a:00.0", { class: "0x060400", driver: "pcieport", group: 7 });
    expect(check(BDF)[1]).toMatchObject({ status: "pass", found: "alone in IOMMU group 7" });
    device("0000:6a:01.1", { driver: "vfio-pci", cdev: "vfio1", group: 7 });
    device("0000:6a:01.2", { group: 7 });
    expect(check(BDF)[1]).toMatchObject({
      status: "warn",
      found: "shares IOMMU group 7 with 0000:6a:01.1 (vfio-pci), 0000:6a:01.2 (no driver)",
    });
    device("0000:6a:01.3", { driver: "ahci", group: 7 });
    expect(check(BDF)[1]).toMatchObject({ status: "fail" });
  });
});

describe("a device that shares its group below a bridge", () => {
  const BRIDGE = "0000:6a:00.0";
  const MATE = "0000:6b:00.1";
  const DEVICE = "0000:6b:00.0";

  beforeEach(() => {
    for (const bdf of [DEVICE, MATE]) {
      device(bdf, { driver: "vfio-pci", cdev: `vfio${bdf.at(-1)}`, group: 9 });
      const place = `sys/devices/pci0000:6a/${BRIDGE}/${bdf}`;
      mkdirSync(dirname(join(root, place)), { recursive: true });
      renameSync(join(root, `sys/bus/pci/devices/${bdf}`), join(root, place));
      symlinkSync(join(root, place), join(root, `sys/bus/pci/devices/${bdf}`));
    }
    device(BRIDGE, { class: "0x060400", driver: "pcieport", group: 8 });
  });

  it("without ACS", () => {
    file(`sys/bus/pci/devices/${BRIDGE}/config`, Buffer.alloc(4096));
    expect(check(DEVICE, DEVICE)[2]).toEqual({
      name: DEVICE,
      status: "warn",
      found: `ACS is not on at ${BRIDGE}, above it`,
      fix: "use a slot below a port that has ACS; lspci -vv shows which (ACSCtl)",
    });
  });

  it("with ACS", () => {
    const config = Buffer.alloc(4096);
    config.writeUInt32LE(0x0001_000d, 0x100);
    config.writeUInt16LE(0x1d, 0x106);
    file(`sys/bus/pci/devices/${BRIDGE}/config`, config);
    expect(check(DEVICE, DEVICE)[2]).toMatchObject({
      status: "pass",
      found: `ACS is on at ${BRIDGE}, above it: its group has another reason`,
    });
  });

  it("that shows this user no more than 64 bytes", () => {
    file(`sys/bus/pci/devices/${BRIDGE}/config`, Buffer.alloc(64));
    expect(check(DEVICE, DEVICE)[2]).toMatchObject({
      status: "unknown",
      found: `cannot be seen: ACS of ${BRIDGE}, above it, which only root may read`,
    });
  });
});

it("nothing that a machine says of itself reaches a terminal as it is", () => {
  file("proc/cpuinfo", "vendor_id\t: \u001b[2J\nmodel name\t: \u001b]0;owned\u0007\n");
  file("proc/sys/kernel/osrelease", "6.12.0\u001b[31m\n");
  file("sys/bus/pci/devices/000\u0010:6a:01.0/vfio-dev/vfio7/dev");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  expect(formatDoctor(checks())).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
});
