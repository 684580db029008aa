/** Facts about its VM from a running QEMU. */

import type { z } from "zod";
import { checkOptions } from "../arguments.ts";
import { schema } from "../lazy.ts";
import type { MemorySection } from "../section.ts";
import { askMemoryDevices, refuseConfidential, type SgxEpc, type VirtioMem } from "./memory-devices.ts";
import { readMemoryMap } from "./memory-map.ts";
import { MONITOR_OPTIONS, type Monitor, type MonitorOptions, named } from "./monitor.ts";

/** The names that a QEMU has for what the advice is about; they changed with its versions. */
export interface PropertyNames {
  /** "scalable-mode", "x-scalable-mode" */
  readonly scalableMode: string;
  /** First-stage translation: "fsts", "flts", "x-flts"; undefined where this QEMU has none, and so no nesting. */
  readonly firstStage: string | undefined;
}

const text = schema((z) => z.string());
const truth = schema((z) => z.boolean());

/** A VM as QEMU runs it. */
export interface RunningVm {
  /** Version of QEMU: "10.0.2". */
  readonly version: string;
  /** The sections of the wanted address space. */
  readonly sections: readonly MemorySection[];
  /** Has an intel-iommu in scalable mode with first-stage translation. */
  readonly nesting: boolean;
  /** Undefined where this QEMU has no intel-iommu. */
  readonly propertyNames: PropertyNames | undefined;
  /** Its virtio-mem devices; none: no remark is needed. */
  readonly virtioMem: readonly VirtioMem[];
  /** Its SGX memory, which no device reaches; the sections say so too. */
  readonly sgxEpc: readonly SgxEpc[];
}

/** The names by age, the latest first (hw/i386/intel_iommu.c). */
const SCALABLE_MODE = ["scalable-mode", "x-scalable-mode"] as const;
const FIRST_STAGE = ["fsts", "flts", "x-flts"] as const;

/**
 * Asks a running QEMU.
 *
 * @param path the socket of `-qmp unix:PATH,server=on`
 * @throws IommufdError ERR_IOMMUFD_QEMU: it cannot be asked, or its VM is a confidential guest that cannot be planned;
 *   ERR_IOMMUFD_INPUT: it has no such address space
 */
export async function queryQemu(path: string, options: MonitorOptions = {}): Promise<RunningVm> {
  const { QmpClient } = await import("./qmp-client.ts");
  using monitor = await QmpClient.connect(path, checkOptions(options, MONITOR_OPTIONS));
  return await askMonitor(monitor, options.addressSpace);
}

/**
 * Asks a running VM of libvirt, with virsh.
 *
 * @param domain its name, id or UUID
 * @throws IommufdError ERR_IOMMUFD_QEMU: it cannot be asked, or its VM is a confidential guest that cannot be planned;
 *   ERR_IOMMUFD_INPUT: it has no such address space
 */
export async function queryLibvirt(domain: string, options: MonitorOptions = {}): Promise<RunningVm> {
  const { VirshMonitor } = await import("./virsh-monitor.ts");
  using monitor = new VirshMonitor(domain, checkOptions(options, MONITOR_OPTIONS));
  return await askMonitor(monitor, options.addressSpace);
}

/** Asks through a monitor that is there. */
export async function askMonitor(monitor: Monitor, addressSpace?: string): Promise<RunningVm> {
  const version = await monitor.version();
  await refuseConfidential(monitor);
  const { virtioMem, sgxEpc } = await askMemoryDevices(monitor);
  const sections = readMemoryMap(await askMemoryMap(monitor), { addressSpace, source: monitor.name });
  const propertyNames = await askPropertyNames(monitor);
  return {
    version,
    sections: sections.map((section) =>
      sgxEpc.some(({ start, last }) => start <= section.start && section.start <= last)
        ? { ...section, protected: true }
        : section,
    ),
    propertyNames,
    nesting: propertyNames !== undefined && (await asksForNesting(monitor, propertyNames)),
    virtioMem,
    sgxEpc,
  };
}

/**
 * The flat views, and the tree of regions, which shows what is behind a read-only view (region-types.ts). Both have the
 * owners, because several regions can have one name.
 */
async function askMemoryMap(monitor: Monitor): Promise<string> {
  const print = (command: string) =>
    monitor.ask("human-monitor-command", { "command-line": command }, text());
  return `${await print("info mtree -f -o")}${await print("info mtree -o")}`;
}

async function askPropertyNames(monitor: Monitor): Promise<PropertyNames | undefined> {
  const properties = await propertiesOf(monitor, "intel-iommu");
  if (properties === undefined) return undefined;
  const known = (names: readonly string[]) =>
    names.find((name) => properties.some((property) => property.name === name));
  const scalableMode = known(SCALABLE_MODE);
  return scalableMode === undefined ? undefined : { scalableMode, firstStage: known(FIRST_STAGE) };
}

/**
 * The properties of a kind of device; undefined if this QEMU does not know the kind. Not by `qom-list-types`, which
 * loads all
 * of QEMU's modules into the running VM, and was seen to abort it where they were of another build.
 */
async function propertiesOf(
  monitor: Monitor,
  typename: string,
): Promise<z.output<ReturnType<typeof named>> | undefined> {
  try {
    return await monitor.ask("device-list-properties", { typename }, named());
  } catch (error) {
    const { cause } = error as { cause?: { class?: string } };
    if (cause?.class === "DeviceNotFound") return undefined;
    throw error;
  }
}

async function asksForNesting(
  monitor: Monitor,
  { scalableMode, firstStage }: PropertyNames,
): Promise<boolean> {
  if (firstStage === undefined) return false;
  for (const directory of ["/machine/peripheral", "/machine/peripheral-anon"]) {
    for (const { name, type } of await monitor.ask("qom-list", { path: directory }, named())) {
      if (type !== "child<intel-iommu>") continue;
      const path = `${directory}/${name}`;
      const isOn = (property: string) => monitor.ask("qom-get", { path, property }, truth());
      return (await isOn(scalableMode)) && (await isOn(firstStage));
    }
  }
  return false;
}
