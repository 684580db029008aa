/** What a running QEMU tells of its VM. */

import { z } from "zod";
import type { MemorySection } from "../container/section.ts";
import { readMemoryMap } from "./memory-map.ts";
import type { Monitor, MonitorOptions } from "./monitor.ts";
import { QmpClient } from "./qmp-client.ts";
import { VirshMonitor } from "./virsh-monitor.ts";

/** Memory that a VM can be given more of, and less, while it runs. */
export interface VirtioMem {
  /** What the VM's owner calls it: `-device virtio-mem-pci,id=…`. */
  readonly id: string;
  /** Where it begins: all that it can grow to is from here. */
  readonly start: bigint;
  /** The last address of it. */
  readonly last: bigint;
  /** How much of it the VM has now, in bytes. QEMU maps that alone; which parts, QMP does not tell. */
  readonly plugged: bigint;
}

/** The names that a QEMU has for what the advice is about; they changed with its versions. */
export interface PropertyNames {
  /** "scalable-mode", "x-scalable-mode" */
  readonly scalableMode: string;
  /** First-stage translation: "fsts", "flts", "x-flts"; undefined where this QEMU has none, and so no nesting. */
  readonly firstStage: string | undefined;
}

/** A VM as QEMU runs it. */
export interface RunningVm {
  /** Version of QEMU: "10.0.2". */
  readonly version: string;
  /** Those of the address space that was asked for. */
  readonly sections: readonly MemorySection[];
  /** Has an intel-iommu in scalable mode with first-stage translation. */
  readonly nesting: boolean;
  /** Undefined where this QEMU has no intel-iommu. */
  readonly propertyNames: PropertyNames | undefined;
  /** Its virtio-mem devices; none: no remark is needed. */
  readonly virtioMem: readonly VirtioMem[];
}

/** The names by age, the latest first (hw/i386/intel_iommu.c). */
const SCALABLE_MODE = ["scalable-mode", "x-scalable-mode"] as const;
const FIRST_STAGE = ["fsts", "flts", "x-flts"] as const;

const named = z.array(z.object({ name: z.string(), type: z.string() }));
const size = z.int().nonnegative().transform(BigInt);
const memoryDevices = z.array(
  z.union([
    z.object({
      type: z.literal("virtio-mem"),
      data: z.object({
        id: z.string().default("virtio-mem"),
        memaddr: size,
        size,
        "max-size": size,
      }),
    }),
    // A virtio-mem that cannot be read must not pass for something else.
    z.object({ type: z.string().refine((type) => type !== "virtio-mem") }).transform(() => undefined),
  ]),
);

/**
 * Asks a running QEMU.
 *
 * @param path the socket of `-qmp unix:PATH,server=on`
 * @param addressSpace the address space that the devices see: "memory"
 * @throws IommufdError ERR_IOMMUFD_QEMU: it cannot be asked; ERR_IOMMUFD_INPUT: it has no such address space
 */
export async function askQemu(
  path: string,
  addressSpace: string,
  options: MonitorOptions = {},
): Promise<RunningVm> {
  using monitor = await QmpClient.connect(path, options);
  return await askMonitor(monitor, addressSpace);
}

/**
 * Asks a running VM of libvirt, with virsh.
 *
 * @param domain its name, id or UUID
 * @param addressSpace the address space that the devices see: "memory"
 * @throws IommufdError ERR_IOMMUFD_QEMU: it cannot be asked; ERR_IOMMUFD_INPUT: it has no such address space
 */
export async function askLibvirt(
  domain: string,
  addressSpace: string,
  options: MonitorOptions = {},
): Promise<RunningVm> {
  using monitor = new VirshMonitor(domain, options);
  return await askMonitor(monitor, addressSpace);
}

/** Asks through a monitor that is there. */
export async function askMonitor(monitor: Monitor, addressSpace: string): Promise<RunningVm> {
  const version = await monitor.version();
  const view = { "command-line": "info mtree -f" };
  const text = await monitor.ask("human-monitor-command", view, z.string());
  const propertyNames = await askPropertyNames(monitor);
  return {
    version,
    sections: readMemoryMap(text, addressSpace, monitor.name),
    propertyNames,
    nesting: propertyNames !== undefined && (await asksForNesting(monitor, propertyNames)),
    virtioMem: await askVirtioMem(monitor),
  };
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
 * The properties of a kind of device; undefined where this QEMU knows none such. Not by `qom-list-types`, which loads all
 * of QEMU's modules into the running VM, and was seen to abort it where they were of another build.
 */
async function propertiesOf(monitor: Monitor, typename: string): Promise<z.output<typeof named> | undefined> {
  try {
    return await monitor.ask("device-list-properties", { typename }, named);
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
    for (const { name, type } of await monitor.ask("qom-list", { path: directory }, named)) {
      if (type !== "child<intel-iommu>") continue;
      const path = `${directory}/${name}`;
      const isOn = (property: string) => monitor.ask("qom-get", { path, property }, z.boolean());
      return (await isOn(scalableMode)) && (await isOn(firstStage));
    }
  }
  return false;
}

async function askVirtioMem(monitor: Monitor): Promise<VirtioMem[]> {
  const devices = await monitor.ask("query-memory-devices", {}, memoryDevices);
  return devices.flatMap((device) => {
    if (device === undefined) return [];
    const { id, memaddr, size: plugged, "max-size": whole } = device.data;
    return [{ id, start: memaddr, last: memaddr + whole - 1n, plugged }];
  });
}
