/**
 * Facts about a machine from /proc, /sys, /dev and /boot. No device is touched. All paths go through one
 * root, so that a recorded tree can stand in for a machine.
 */

import { accessSync, constants, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { DeviceUser } from "../backend/backend.ts";
import { deviceUse } from "../backend/kernel/device-use.ts";
import { cdevName, driverOf, groupOf, listVfioDevices } from "../backend/kernel/vfio-sysfs.ts";
import { BDF_PATTERN } from "../bdf.ts";
import { lookThrough, readFileWhole } from "../files.ts";
import { COMMAND_LINE_LIMIT, FACT_LIMIT, INPUT_LIMIT } from "../limits.ts";
import { type Acs, findAcs } from "./acs.ts";
import { Distribution } from "./distribution.ts";
import { lastDmarUnits } from "./dmesg.ts";
import { hostUse } from "./host-use.ts";
import { type KernelConfig, readKernelConfig } from "./kernel-config.ts";
import { type KernelLog, readKernelLog } from "./kernel-log.ts";
import { type Platform, platformOf } from "./platform.ts";
import { type InstalledQemu, installedQemus } from "./qemu.ts";
import { ifReadable, readFact } from "./readable.ts";
import { parseReservedRegions, type ReservedRegion } from "./reserved-regions.ts";
import { listIommus, readVtdUnit, type VtdUnit } from "./vtd-units.ts";

/** Access to a file. */
export type Access = "read-write" | "denied" | "missing";

/** How the test kernel (CONFIG_IOMMUFD_TEST) names an IOMMU that is none. */
const MOCK = /^iommufd_selftest_iommu\./;

/** One of AMD's IOMMUs as sysfs shows it. */
export interface AmdUnit {
  /** "ivhd0" */
  readonly name: string;
  /** Its Extended Feature Registers. */
  readonly efr: bigint;
  readonly efr2: bigint;
}

/** A PCI function as sysfs shows it. */
export interface PciFunction {
  readonly bdf: string;
  /** Name of its driver; undefined where it has none. */
  readonly driver: string | undefined;
  /** A bridge, to PCI, ISA or the processor: nothing that a VM can be given. */
  readonly bridge: boolean;
  /** Path of its VFIO character device; undefined where no VFIO driver offers one. */
  readonly cdev: string | undefined;
  /** The host's own use of it: "/ is mounted from it". */
  readonly hostUse: readonly string[];
}

/** A device with the facts of its IOMMU group. */
export interface PciDevice extends PciFunction {
  /** Number of its IOMMU group; undefined where it has none: no IOMMU translates for it. */
  readonly group: number | undefined;
  /** The others of its group. */
  readonly mates: readonly PciFunction[];
  /** The lines of its group's reserved_regions. */
  readonly reservedRegions: readonly ReservedRegion[];
  /** The bridges between it and the root of its bus, the nearest last. */
  readonly bridges: readonly PciBridge[];
}

/** A bridge that a device is below. */
export interface PciBridge {
  readonly bdf: string;
  /** Undefined where this user may not see it. */
  readonly acs: Acs | undefined;
}

/** A machine, or a recorded tree of one. Files that several checks look at are read once. */
export class Machine {
  /** Where its files are: "/", or the directory of a recorded tree. */
  readonly root: string;
  /** Its name: "node1". */
  readonly hostName: string | undefined;
  readonly #hostUse: ReadonlyMap<string, readonly string[]>;
  /** Version of the kernel: "6.12.48-amd64". */
  readonly kernelRelease: string | undefined;
  /** The kernel's configuration, where it is there and can be read. */
  readonly kernelConfig: KernelConfig | undefined;
  /** The words that the kernel was started with. */
  readonly commandLine: readonly string[] | undefined;
  /** The names of all IOMMUs, without {@link mockIommus}. */
  readonly iommus: readonly string[];
  /** IOMMUs that a test kernel makes up for its own tests. */
  readonly mockIommus: readonly string[];
  /** The VT-d units. */
  readonly vtdUnits: readonly VtdUnit[];
  /** The VT-d units that the kernel's log names, where no IOMMU is in use. */
  readonly unusedVtdUnits: readonly VtdUnit[];
  /** AMD's IOMMUs. */
  readonly amdUnits: readonly AmdUnit[];
  /** The kind of machine. */
  readonly platform: Platform;
  /** How its distribution does things. */
  readonly distribution: Distribution;
  /** The kernel's log; undefined where this user may not read it. */
  readonly kernelLog: KernelLog | undefined;

  constructor(root = "/") {
    this.root = root;
    this.hostName = this.#read("proc/sys/kernel/hostname")?.trim();
    // The name becomes part of a path, which must not leave the tree.
    const [release] = /^[\w.+~-]+$/.exec(this.#read("proc/sys/kernel/osrelease")?.trim() ?? "") ?? [];
    this.kernelRelease = release;
    this.kernelConfig = readKernelConfig(root, release);
    this.commandLine = this.#read("proc/cmdline", COMMAND_LINE_LIMIT)?.trim().split(/\s+/);
    const iommus = listIommus(root);
    this.iommus = iommus.filter((name) => !MOCK.test(name));
    this.mockIommus = iommus.filter((name) => MOCK.test(name));
    this.kernelLog = readKernelLog(root);
    this.vtdUnits = this.iommus.flatMap((name) => readVtdUnit(root, name));
    // Linux finds the units, and says so, before it is decided that they are not used.
    this.unusedVtdUnits =
      this.iommus.length === 0 && this.kernelLog !== undefined
        ? lastDmarUnits(this.kernelLog.text, this.kernelLog.source)
        : [];
    this.amdUnits = this.iommus.flatMap((name) => this.#amdUnit(name));
    this.platform = platformOf(this.iommus, (path) => this.#read(path));
    this.distribution = new Distribution(
      (path) => this.#read(path),
      (path) => this.access(path) !== "missing",
    );
    this.#hostUse = hostUse(root);
  }

  /** Vendor, family and model of the first processor. */
  get cpu(): { vendor: string; family: number; model: number; name: string } | undefined {
    const text = this.#read("proc/cpuinfo");
    const field = (name: string) => text?.match(new RegExp(`^${name}\\s*: (.*)$`, "m"))?.[1];
    const vendor = field("vendor_id");
    if (vendor === undefined) return undefined;
    const name = field("model name") ?? vendor;
    return { vendor, family: Number(field("cpu family")), model: Number(field("model")), name };
  }

  /** /proc/interrupts, which everybody may read: who sends interrupts, and through what. */
  get interrupts(): string | undefined {
    return this.#read("proc/interrupts", INPUT_LIMIT);
  }

  /** The parameter allow_unsafe_interrupts of iommufd; undefined where the module is not there. */
  get allowsUnsafeInterrupts(): boolean | undefined {
    const value = this.#read("sys/module/iommufd/parameters/allow_unsafe_interrupts")?.trim();
    return value === undefined ? undefined : value === "Y" || value === "1";
  }

  /** Whether the kernel has made /dev/iommu, whatever this process may see of /dev. */
  get hasIommufd(): boolean {
    return this.access("sys/class/misc/iommu") !== "missing";
  }

  /** Whether vfio-pci is there to bind devices. */
  get hasVfioPci(): boolean {
    return this.access("sys/bus/pci/drivers/vfio-pci") !== "missing";
  }

  /** Whether the firmware has an ACPI table; undefined where this process cannot see the tables. */
  hasFirmwareTable(signature: string): boolean | undefined {
    const tables = this.#list("sys/firmware/acpi/tables");
    return tables.length === 0 ? undefined : tables.includes(signature);
  }

  /** Whether the kernel has a function; undefined if it cannot be seen. It reads 10 MB. */
  hasFunction(name: string): boolean | undefined {
    return ifReadable(() => {
      let [isThere, isEmpty] = [false, true];
      lookThrough(join(this.root, "proc/kallsyms"), name.length + 1, (piece) => {
        isEmpty = false;
        isThere = piece.includes(` ${name}`);
        return isThere;
      });
      return isEmpty ? undefined : isThere;
    });
  }

  /** The QEMUs that are installed. */
  get qemus(): readonly InstalledQemu[] {
    return installedQemus(this.root);
  }

  /** The processes that have a device open, as far as this one may see. */
  usersOf(bdf: string): readonly DeviceUser[] {
    return deviceUse(this.root, bdf).users;
  }

  /** The access that this process has to a file. */
  access(path: string): Access {
    try {
      accessSync(join(this.root, path), constants.R_OK | constants.W_OK);
      return "read-write";
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT" ? "missing" : "denied";
    }
  }

  /** A PCI device; undefined where there is none of that address. */
  device(bdf: string): PciDevice | undefined {
    if (!this.#list("sys/bus/pci/devices").includes(bdf)) return undefined;
    const group = groupOf(this.root, bdf);
    const others = group === undefined ? [] : this.#list(`sys/kernel/iommu_groups/${group}/devices`);
    return {
      ...this.#pciFunction(bdf),
      group,
      mates: others.filter((other) => other !== bdf).map((other) => this.#pciFunction(other)),
      reservedRegions: parseReservedRegions(
        this.#read(`sys/kernel/iommu_groups/${group}/reserved_regions`) ?? "",
      ),
      bridges: this.#bridgesAbove(bdf),
    };
  }

  /** The addresses of the devices that VFIO drivers have. */
  get vfioDevices(): readonly string[] {
    return listVfioDevices(this.root);
  }

  /** An IOMMU, if it is one of AMD's that shows its registers: "29d3:0" (drivers/iommu/amd/init.c, amd_iommu_show_features()). */
  #amdUnit(name: string): AmdUnit[] {
    const features = this.#read(`sys/class/iommu/${name}/amd-iommu/features`)?.trim() ?? "";
    const [, efr, efr2] = /^([0-9a-f]{1,16}):([0-9a-f]{1,16})$/i.exec(features) ?? [];
    if (efr === undefined || efr2 === undefined) return [];
    return [{ name, efr: BigInt(`0x${efr}`), efr2: BigInt(`0x${efr2}`) }];
  }

  #pciFunction(bdf: string): PciFunction {
    const cdev = cdevName(this.root, bdf);
    // Linux 6.1 and later have the directory without a character device, too.
    const offered =
      cdev !== undefined && this.access(`sys/bus/pci/devices/${bdf}/vfio-dev/${cdev}/dev`) !== "missing";
    return {
      bdf,
      driver: driverOf(this.root, bdf),
      bridge: this.#isBridge(bdf),
      cdev: offered ? `/dev/vfio/devices/${cdev}` : undefined,
      hostUse: this.#hostUse.get(bdf) ?? [],
    };
  }

  /** sysfs has a device in the directory of the bridge that it is below. */
  #bridgesAbove(bdf: string): PciBridge[] {
    const path = ifReadable(() => realpathSync(join(this.root, `sys/bus/pci/devices/${bdf}`))) ?? "";
    const above = path.split("/").slice(0, -1);
    return above
      .filter((part) => BDF_PATTERN.test(part))
      .map((bridge) => ({ bdf: bridge, acs: this.#acsOf(bridge) }));
  }

  #acsOf(bdf: string): Acs | undefined {
    const path = join(this.root, `sys/bus/pci/devices/${bdf}/config`);
    const config = ifReadable(() => readFileWhole(path));
    return config === undefined ? undefined : findAcs(config);
  }

  #isBridge(bdf: string): boolean {
    return this.#read(`sys/bus/pci/devices/${bdf}/class`)?.startsWith("0x06") ?? false;
  }

  #read(path: string, limit = FACT_LIMIT): string | undefined {
    return readFact(join(this.root, path), limit);
  }

  #list(path: string): string[] {
    return ifReadable(() => readdirSync(join(this.root, path)).sort()) ?? [];
  }
}
