/** Plans of any machine: none contradicts what was found, reboots twice, or harms the host. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { diagnose } from "../../lib/host/doctor.ts";
import { Machine } from "../../lib/host/machine.ts";
import { formatDoctor } from "../../lib/report/doctor-report.ts";
import { expectSound } from "./plan-rules.ts";
import { QEMU_11, RecordedTree, recordedTree } from "./recorded-tree.ts";

const RELEASES = ["5.14.0-570.el9.x86_64", "6.5.0", "6.8.0-88-generic", "6.12.0", "7.2.13", "unheard of"];
const OPTIONS = [
  "CONFIG_IOMMUFD",
  "CONFIG_VFIO_DEVICE_CDEV",
  "CONFIG_INTEL_IOMMU",
  "CONFIG_INTEL_IOMMU_DEFAULT_ON",
  "CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON",
  "CONFIG_AMD_IOMMU",
  "CONFIG_ARM_SMMU_V3",
];
const WORDS = [
  "quiet",
  "intel_iommu=on",
  "intel_iommu=off",
  "intel_iommu=sm_on",
  "intel_iommu=on,sm_off",
  "intel_iommu=on,strict",
  "iommu=pt",
  "iommu=off",
  "amd_iommu=off",
  "intremap=off",
  "nointremap",
  "intel_iommu=$(halt)",
];
/** VT-d that nests, and that does not; AMD's that does, and that does not; Arm's. */
const IOMMUS = {
  none: () => {},
  nests: (tree: RecordedTree) => tree.vtd("dmar0", "19ed008c40780c66", "3ef9e86f050df"),
  "does not": (tree: RecordedTree) => tree.vtd("dmar0", "d2008c40660462", "f050da"),
  amd: (tree: RecordedTree) => tree.file("sys/class/iommu/ivhd0/amd-iommu/features", "1000000000010:8\n"),
  "old amd": (tree: RecordedTree) =>
    tree.file("sys/class/iommu/ivhd0/amd-iommu/features", "841f77e022094ace:0\n"),
  arm: (tree: RecordedTree) => tree.file("sys/class/iommu/smmu3.0x0000000009050000/uevent"),
};
const CPUS = ["vendor_id\t: GenuineIntel", "vendor_id\t: AuthenticAMD", "CPU implementer\t: 0x41", ""];
const FILES = {
  ".dockerenv": "",
  "proc/kallsyms": "0 t intel_nested_cache_invalidate_user\n0 t amd_iommu_alloc_domain_nested\n",
  "sys/firmware/acpi/tables/DMAR": "",
  "sys/firmware/acpi/tables/IVRS": "",
  "sys/firmware/acpi/tables/APIC": "",
  "sys/class/misc/iommu": "",
  "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
  "sys/bus/pci/drivers/vfio-pci/bind": "",
  "dev/iommu": "",
  "dev/kmsg": "6,1,1,-;DMAR: dmar0: reg_base_addr d97fc000 ver 6:0 cap 19ed008c40780c66 ecap 3ee9e86f050df\n",
  "var/log/dmesg": "DMAR: dmar0: reg_base_addr fed91000 ver 1:0 cap d2008c40660462 ecap f050da\n",
  "usr/sbin/grubby": "",
  "usr/sbin/update-grub": "",
  "usr/sbin/driverctl": "",
  "run/ostree-booted": "",
  "etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\n',
  "proc/self/limits": "Max locked memory         8388608              8388608              bytes\n",
  "proc/self/status": "CapEff:\t0000000000000000\n",
  "proc/swaps": "Filename\tType\n/dev/sda\tpartition\t1\t0\t-2\n",
  "sys/kernel/iommu_groups/1/reserved_regions": "0x0000000000001000 0x0000000000001fff direct\n",
} as const;

const BDFS = ["0000:01:00.0", "0000:01:00.1", "0000:02:00.0"] as const;
const pciFunction = fc.record(
  {
    driver: fc.constantFrom("vfio-pci", "pci-stub", "pcieport", "shpchp", "nvme", "ixgbe", "mlx5_vfio_pci"),
    cdev: fc.constantFrom("vfio0", "vfio1"),
    group: fc.constantFrom(1, 2),
    class: fc.constantFrom("0x020000", "0x010802", "0x060400", "0x060100"),
  },
  { requiredKeys: ["class"], noNullPrototype: true },
);

const machine = fc.record({
  release: fc.constantFrom(...RELEASES),
  options: fc.option(fc.subarray(OPTIONS)),
  words: fc.option(fc.subarray(WORDS)),
  iommu: fc.constantFrom(...(Object.keys(IOMMUS) as (keyof typeof IOMMUS)[])),
  cpu: fc.constantFrom(...CPUS),
  guest: fc.boolean(),
  chips: fc.subarray(["IR-PCI-MSIX-0000:01:00.0", "PCI-MSIX-0000:01:00.0", "ITS-MSI", "GICv2m-PCI-MSI"]),
  files: fc.subarray(Object.keys(FILES) as (keyof typeof FILES)[]),
  qemu: fc.constantFrom(undefined, QEMU_11, QEMU_11.slice(0, 1)),
  functions: fc.tuple(pciFunction, pciFunction, pciFunction),
  named: fc.subarray([...BDFS]),
});

type AnyMachine = typeof machine extends fc.Arbitrary<infer Of> ? Of : never;

function make(tree: RecordedTree, of: AnyMachine): void {
  tree.file("proc/sys/kernel/osrelease", `${of.release}\n`);
  if (of.options !== null)
    tree.file(`boot/config-${of.release}`, of.options.map((option) => `${option}=y\n`).join(""));
  if (of.words !== null) tree.file("proc/cmdline", `${of.words.join(" ")}\n`);
  tree.file("proc/cpuinfo", `${of.cpu}\nflags\t\t: fpu${of.guest ? " hypervisor" : ""}\n`);
  tree.interrupts(...of.chips);
  IOMMUS[of.iommu](tree);
  if (of.qemu !== undefined) tree.qemu(...of.qemu);
  for (const [index, bdf] of BDFS.entries()) tree.device(bdf, of.functions[index]);
  // The file of /proc/swaps is behind the last.
  mkdirSync(join(tree.root, `sys/bus/pci/devices/${BDFS[2]}/block/sda`), { recursive: true });
  tree.link("sys/class/block/sda", `../../bus/pci/devices/${BDFS[2]}/block/sda`);
  for (const path of of.files) tree.file(path, FILES[path]);
}

/** A device that is bound, in a group that no device can be given of: the other stays with the host. */
const RESERVED_AND_SHARED: AnyMachine = {
  release: "7.2.13",
  options: null,
  words: null,
  iommu: "nests",
  cpu: "vendor_id\t: GenuineIntel",
  guest: false,
  chips: [],
  files: ["sys/kernel/iommu_groups/1/reserved_regions"],
  qemu: undefined,
  functions: [
    { cdev: "vfio0", group: 1, class: "0x020000" },
    { driver: "nvme", group: 1, class: "0x020000" },
    { class: "0x020000" },
  ],
  named: ["0000:01:00.0"],
};

it("no plan contradicts what was found, reboots twice, or harms the host", () => {
  fc.assert(
    fc.property(machine, (of) => {
      const tree = new RecordedTree();
      tree.root = mkdtempSync(join(tmpdir(), "iommufd-any-"));
      try {
        make(tree, of);
        const diagnosis = diagnose(tree.root, of.named);
        expectSound(tree.root, diagnosis);
        expect(diagnosis.steps.flatMap(({ commands }) => commands).join("\n")).not.toContain("halt");
        expect(formatDoctor(diagnosis).includes("\nTo do, in this order:\n1. ")).toBe(
          diagnosis.steps.length > 0,
        );
      } finally {
        rmSync(tree.root, { recursive: true });
      }
    }),
    { numRuns: Number(process.env["IOMMUFD_TEST_RUNS"] ?? 100), examples: [[RESERVED_AND_SHARED]] },
  );
}, 3_600_000);

it("the machine that is looked for is there: what is mounted, and by what the default route goes", () => {
  const root = mkdtempSync(join(tmpdir(), "iommufd-use-"));
  try {
    const tree = new RecordedTree();
    tree.root = root;
    const place = (bdf: string) => `sys/devices/pci0000:00/0000:00:01.0/${bdf}`;
    for (const bdf of ["0000:00:01.0", ...BDFS]) {
      tree.file(`${place(bdf).replace("0000:00:01.0/0000:00:01.0", "0000:00:01.0")}/class`, "0x020000\n");
      tree.link(
        `sys/bus/pci/devices/${bdf}`,
        `../../../../${place(bdf)}`.replace("0000:00:01.0/0000:00:01.0", "0000:00:01.0"),
      );
    }
    // btrfs on an NVMe namespace with two controllers; a bridge over a bond over a card; another's default route of IPv6.
    tree.file(
      "proc/self/mountinfo",
      "30 1 0:27 /root / rw - btrfs /dev/nvme0n1p3 rw\n31 1 0:5 / /mnt\\040x rw - btrfs /dev/nvme0n1p3 rw\n",
    );
    tree.file("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/nvme0n1p3/partition", "3\n");
    tree.link(
      "sys/class/block/nvme0n1p3",
      "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/nvme0n1p3",
    );
    for (const [index, bdf] of [BDFS[0], BDFS[1]].entries()) {
      tree.file(`${place(bdf)}/nvme/nvme${index}/state`, "live\n");
      tree.link(
        `sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme${index}`,
        `../../../../../${place(bdf)}/nvme/nvme${index}`,
      );
    }
    tree.file(
      "proc/net/route",
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nbr0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\n",
    );
    tree.file(
      "proc/net/ipv6_route",
      `${"0".repeat(32)} 00 ${"0".repeat(32)} 00 ${"0".repeat(32)} ffffffff 00000001 00000000 00200200       lo\n`,
    );
    for (const name of ["br0", "bond0"])
      tree.link(`sys/class/net/${name}`, `../../devices/virtual/net/${name}`);
    tree.link("sys/devices/virtual/net/br0/lower_bond0", "../bond0");
    tree.link("sys/devices/virtual/net/bond0/lower_eth0", "../eth0");
    tree.file(`${place(BDFS[2])}/net/eth0/operstate`, "up\n");
    tree.link("sys/class/net/eth0", `../../../${place(BDFS[2])}/net/eth0`);
    const use = (bdf: string) => new Machine(root).device(bdf)?.hostUse;
    const mounted = ["/ is mounted from it", "/mnt x is mounted from it"];
    expect(BDFS.map(use)).toEqual([mounted, mounted, ["the default route goes through it (br0)"]]);
    expect(use("0000:00:01.0")).toEqual([...mounted, "the default route goes through it (br0)"]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

describe("disks that are in use without a number in the list of mounts", () => {
  const DISK = "0000:00:01.0";
  const OTHER = "0000:00:02.0";
  const tree = recordedTree();
  const use = (bdf: string) => new Machine(tree.root).device(bdf)?.hostUse;

  /** Two controllers, with a disk each: sda and sdb. */
  beforeEach(() => {
    for (const [bdf, disk] of [
      [DISK, "sda"],
      [OTHER, "sdb"],
    ] as const) {
      tree.file(`sys/devices/pci0000:00/${bdf}/class`, "0x010601\n");
      tree.link(`sys/bus/pci/devices/${bdf}`, `../../../devices/pci0000:00/${bdf}`);
      tree.file(`sys/devices/pci0000:00/${bdf}/ata1/block/${disk}/dev`, disk === "sda" ? "8:0\n" : "8:16\n");
      tree.link(`sys/class/block/${disk}`, `../../devices/pci0000:00/${bdf}/ata1/block/${disk}`);
    }
  });

  /** A volume of the device mapper. */
  const volume = (name: string, ...parts: string[]) => {
    tree.file("sys/devices/virtual/block/dm-0/dm/name", `${name}\n`);
    for (const part of parts) tree.file(`sys/devices/virtual/block/dm-0/slaves/${part}/x`);
    tree.link("sys/class/block/dm-0", "../../devices/virtual/block/dm-0");
  };
  const mounts = (line: string) => tree.file("proc/self/mountinfo", `${line}\n`);

  it("btrfs on encryption, as Fedora installs it", () => {
    volume("luks-home", "sda");
    mounts("30 1 0:27 /home /home rw - btrfs /dev/mapper/luks-home rw");
    expect([DISK, OTHER].map(use)).toEqual([["/home is mounted from it"], []]);
  });

  it("btrfs on several disks", () => {
    for (const disk of ["sda", "sdb"])
      tree.link(`sys/fs/btrfs/1b2c/devices/${disk}`, `../../../../class/block/${disk}`);
    mounts("30 1 0:27 / / rw - btrfs /dev/sda rw");
    expect([DISK, OTHER].map(use)).toEqual([["/ is mounted from it"], ["/ is mounted from it"]]);
  });

  it("bcachefs, which names all", () => {
    mounts("30 1 0:27 / /data rw - bcachefs /dev/sda:/dev/sdb rw");
    expect([DISK, OTHER].map(use)).toEqual([["/data is mounted from it"], ["/data is mounted from it"]]);
  });

  it("a ZFS pool", () => {
    tree.file("run/udev/data/b8:16", "S:disk/by-id/ata-x\nE:ID_FS_TYPE=zfs_member\n");
    mounts("30 1 0:27 / / rw - zfs rpool/ROOT/pve-1 rw");
    expect([DISK, OTHER].map(use)).toEqual([[], []]); // a disk that is there, of a pool that is not imported
    tree.file("proc/spl/kstat/zfs/rpool/state", "ONLINE\n");
    expect([DISK, OTHER].map(use)).toEqual([[], ["it has a part of a ZFS pool, and rpool is imported"]]);
  });

  it("a volume that a VM has for its disk, mounted nowhere", () => {
    volume("pve-vm--100--disk--0", "sda", "sdb");
    mounts("30 1 8:16 / /boot rw - ext4 /dev/sdb rw");
    tree.link("sys/dev/block/8:16", "../../class/block/sdb");
    expect([DISK, OTHER].map(use)).toEqual([["pve-vm--100--disk--0 is on it"], ["/boot is mounted from it"]]);
    expect(tree.check(DISK, DISK)).toMatchObject([
      { status: "fail", found: "is needed by the host: pve-vm--100--disk--0 is on it" },
    ]);
  });
});
