/**
 * The VFIO container: one I/O address space for several devices, with the domains that they need and the rule
 * that ERRATA_772415_SPR17 imposes. It does what QEMU's does (hw/vfio/iommufd.c, hw/vfio/listener.c).
 */

import {
  type ByteCount,
  checkByteCount,
  checkInstance,
  checkOptions,
  checkU64,
  knownOptions,
} from "../arguments.ts";
import { invalidType, isSystemError, outOfRange } from "../errors.ts";
import { Device } from "../iommufd/device.ts";
import type { DmaMemory } from "../iommufd/dma-memory.ts";
import type { Hwpt } from "../iommufd/hwpt.ts";
import type { Ioas } from "../iommufd/ioas.ts";
import { Iommufd } from "../iommufd/iommufd.ts";
import { describeSection, type MemorySection } from "../section.ts";
import type { IovaRanges } from "../uapi.ts";
import { IOMMU_HW_CAP_DIRTY_TRACKING } from "../uapi.ts";
import { ApplyError } from "./apply-error.ts";
import {
  type BypassRoDecision,
  type BypassRoSetting,
  checkBypassRoSetting,
  decideBypassRo,
  quirksForDecision,
} from "./errata.ts";
import {
  type Decision,
  decide,
  isMapping,
  isUnexpectedlyMisaligned,
  type Plan,
  type PlannedMapping,
  type PlanOptions,
  plan,
  type SkippedSection,
} from "./plan.ts";
import { mapRun, runsOf } from "./runs.ts";

/** The purpose of a container. */
export interface ContainerOptions {
  /** The VMM wants nested translation: domains are nest parents, and errata of nesting apply. Default false. */
  nesting?: boolean | undefined;
  /**
   * Whether read-only sections are left out. Default `auto`: as soon as nesting is wanted and a device's IOMMU has
   * the erratum. With `off`, on such a host, the kernel refuses read-only sections (EINVAL).
   */
  bypassRo?: BypassRoSetting | undefined;
  /** Devices will have PASIDs attached elsewhere. Default false. */
  pasid?: boolean | undefined;
  /** Called for remarks that are not failures. Default: `process.emitWarning`, type "IommufdWarning". */
  onWarning?: ((message: string) => void) | undefined;
}

const CONTAINER_OPTIONS = knownOptions<ContainerOptions>({
  nesting: "boolean",
  bypassRo: "other",
  pasid: "boolean",
  onWarning: "other",
});

/** The memory of a region, by its name. A section's offset in the region is an offset in that memory. */
export type RegionMemory = (region: string) => DmaMemory | undefined;

interface Domain {
  readonly hwpt: Hwpt;
  readonly dirtyTracking: boolean;
}

/**
 * A container.
 *
 * Its calls run one after the other, in the order in which they were made. Closing it unmaps everything and
 * detaches the devices, which stay open: they belong to whoever opened them.
 *
 * ```ts
 * await using container = new Container(iommufd, { nesting: true });
 * await container.addDevice(device);
 * await container.apply(sections, (region) => memory.get(region));
 * ```
 */
export class Container implements AsyncDisposable {
  /** Its I/O address space. */
  readonly ioas: Ioas;
  readonly #iommufd: Iommufd;
  readonly #nesting: boolean;
  readonly #bypassRoSetting: BypassRoSetting;
  readonly #pasid: boolean;
  readonly #warn: (message: string) => void;
  readonly #domains: Domain[] = [];
  #decision: BypassRoDecision;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Makes one with an address space of its own (IOMMU_IOAS_ALLOC) and no devices.
   *
   * @throws IommufdError ERR_IOMMUFD_CLOSED: the iommufd is closed
   */
  constructor(iommufd: Iommufd, options: ContainerOptions = {}) {
    this.#iommufd = checkInstance(iommufd, Iommufd, "iommufd");
    this.#nesting = checkOptions(options, CONTAINER_OPTIONS).nesting ?? false;
    this.#bypassRoSetting = checkBypassRoSetting(options.bypassRo, "bypassRo");
    this.#decision =
      this.#nesting && this.#bypassRoSetting === "auto"
        ? { bypassRo: false, reason: "no device is attached, so no IOMMU was asked" }
        : decideBypassRo({ nesting: this.#nesting, setting: this.#bypassRoSetting });
    this.#pasid = options.pasid ?? false;
    this.#warn = options.onWarning ?? ((message) => process.emitWarning(message, { type: "IommufdWarning" }));
    this.ioas = iommufd.allocIoas();
  }

  /** Whether read-only sections are left out. Once set, it stays set for the life of the container. */
  get bypassRo(): boolean {
    return this.#decision.bypassRo;
  }

  /** Why {@link bypassRo} is as it is, in one sentence. */
  get bypassRoReason(): string {
    return this.#decision.reason;
  }

  /** The devices that are in it. */
  get devices(): readonly Device[] {
    return this.#domains.flatMap(({ hwpt }) => hwpt.devices);
  }

  /** The ranges that mappings may be placed in. */
  iovaRanges(): IovaRanges {
    return this.ioas.iovaRanges();
  }

  /**
   * Adds a device: attaches it to the first domain that takes it, or to a new one.
   *
   * A new domain is a nest parent if nesting is wanted, and tracks dirty pages if the IOMMU can. If the device's
   * IOMMU has ERRATA_772415_SPR17 and nesting is wanted, the container leaves out read-only sections from now on.
   *
   * @throws SystemError EOPNOTSUPP: nesting is wanted and the IOMMU cannot nest; EINVAL: a nest parent is refused
   * because read-only memory is mapped already; other errors of IOMMU_HWPT_ALLOC and of attaching. The container
   *   is then as it was before.
   */
  addDevice(device: Device): Promise<void> {
    checkInstance(device, Device, "device");
    return this.#serialize(async () => {
      if (this.devices.includes(device)) throw outOfRange("device", "not in this container yet", device.name);
      for (const { hwpt } of this.#domains) {
        try {
          await device.attach(hwpt);
          return;
        } catch (error) {
          // EINVAL: this domain does not fit the device's IOMMU; another may.
          if (!isSystemError(error, "EINVAL")) throw error;
        }
      }
      await this.#addDomain(device);
    });
  }

  /**
   * Removes a device: detaches it. The last one out of a domain frees it.
   *
   * @throws RangeError ERR_OUT_OF_RANGE: it is not in this container
   */
  removeDevice(device: Device): Promise<void> {
    return this.#serialize(async () => {
      const index = this.#domains.findIndex(({ hwpt }) => hwpt.devices.includes(device));
      const domain = this.#domains[index];
      if (domain === undefined) throw outOfRange("device", "in this container", device.name);
      device.detach();
      if (domain.hwpt.devices.length > 0) return;
      domain.hwpt.close();
      this.#domains.splice(index, 1);
    });
  }

  /** The plan of this container for sections, in its present state. */
  plan(sections: Iterable<MemorySection>): Plan {
    return plan(sections, this.#planOptions());
  }

  /**
   * Adds a section: maps it, or skips it for a reason.
   *
   * @param memory the memory of the whole region; not needed for a section that is skipped
   * @returns what became of it
   * @throws SystemError as {@link Ioas.map}, but not EFAULT for RAM of a device, which is a warning
   */
  regionAdd(section: MemorySection, memory?: DmaMemory): Promise<Decision> {
    return this.#serialize(() => this.#regionAdd(section, memory));
  }

  /**
   * Removes a section: unmaps what adding it mapped. A skipped section was never mapped.
   *
   * @throws SystemError as {@link Ioas.unmap}, but not ENOENT
   */
  regionDel(section: MemorySection): Promise<Decision> {
    return this.#serialize(async () => {
      const decision = decide(section, this.#planOptions());
      if (isMapping(decision)) await this.#dmaUnmap(decision.iova, decision.length);
      return decision;
    });
  }

  /**
   * Maps memory, whatever the sections say: for a vIOMMU's translations.
   *
   * @param offset where in the memory to start, in bytes
   * @throws SystemError as {@link Ioas.map}
   */
  dmaMap(
    iova: bigint,
    length: ByteCount,
    memory: DmaMemory,
    offset: ByteCount,
    readonly = false,
  ): Promise<void> {
    return this.#serialize(() => this.#dmaMap(iova, length, memory, offset, readonly));
  }

  /**
   * Unmaps a range of up to 2^64 bytes. An answer that nothing was there does not count as a failure.
   *
   * @throws SystemError as {@link Ioas.unmap}, but not ENOENT
   */
  dmaUnmap(iova: bigint, length: ByteCount): Promise<void> {
    checkU64(iova, "iova");
    // A bigint may be 2^64 here.
    const bytes = typeof length === "bigint" ? length : checkByteCount(length, "length");
    if (bytes <= 0n || iova + bytes > 1n << 64n) throw outOfRange("length", "1 to 2^64 - iova", length);
    return this.#serialize(() => this.#dmaUnmap(iova, bytes));
  }

  /**
   * Adds all sections, or none: if one fails, all of them are unmapped again.
   *
   * @param memory finds the memory of a region; asked before anything is mapped
   * @returns what was done
   * @throws ApplyError ERR_IOMMUFD_APPLY: it names the section, and its cause is what the kernel answered
   * @throws TypeError there is no memory for a region that has to be mapped
   */
  apply(sections: Iterable<MemorySection>, memory: RegionMemory): Promise<Plan> {
    return this.#serialize(async () => {
      const whole = this.plan(sections);
      const runs = runsOf(whole.map, (mapping) => memoryFor(mapping, memory));
      const done: PlannedMapping[][] = [];
      for (const run of runs) {
        const made = run.mappings.length > 1 ? await mapRun(this.ioas, run) : 0;
        done.push(run.mappings.slice(0, made));
        for (const mapping of run.mappings.slice(made)) {
          try {
            if (await this.#mapPlanned(mapping, run.memory)) done.push([mapping]);
          } catch (cause) {
            const before = done.flat();
            const stuck = await this.#undo(before);
            throw new ApplyError(mapping, before.length, stuck, cause);
          }
        }
      }
      for (const skipped of whole.skipped) this.#warnIfMisaligned(skipped);
      return whole;
    });
  }

  /** Unmaps everything, detaches the devices and frees the domains, once the calls before it are done. */
  close(): Promise<void> {
    return this.#serialize(async () => {
      this.ioas.close();
      this.#domains.length = 0;
    });
  }

  /** {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #addDomain(device: Device): Promise<void> {
    const info = device.hwInfo();
    const dirtyTracking = (info.capabilities & IOMMU_HW_CAP_DIRTY_TRACKING) !== 0n;
    const quirks = quirksForDecision(info);
    const hwpt = await this.ioas.allocHwpt(device, {
      nestParent: this.#nesting,
      dirtyTracking,
      pasid: this.#pasid,
    });
    try {
      await device.attach(hwpt);
    } catch (error) {
      hwpt.close();
      throw error;
    }
    if (!this.bypassRo)
      this.#decision = decideBypassRo({ nesting: this.#nesting, setting: this.#bypassRoSetting, quirks });
    if (this.#domains.some((domain) => domain.dirtyTracking !== dirtyTracking)) {
      this.#warn(
        `${device.name}: its IOMMU ${dirtyTracking ? "tracks" : "does not track"} dirty pages, unlike that of the ` +
          "other devices; dirty tracking of this container is incomplete",
      );
    }
    this.#domains.push({ hwpt, dirtyTracking });
  }

  async #regionAdd(section: MemorySection, memory: DmaMemory | undefined): Promise<Decision> {
    const decision = decide(section, this.#planOptions());
    if (isMapping(decision)) {
      await this.#mapPlanned(
        decision,
        memoryFor(decision, () => memory),
      );
    } else {
      this.#warnIfMisaligned(decision);
    }
    return decision;
  }

  /** Whether it was mapped: RAM of a device that cannot be is left out, with a warning. */
  async #mapPlanned(mapping: PlannedMapping, memory: DmaMemory): Promise<boolean> {
    try {
      await this.#dmaMap(mapping.iova, mapping.length, memory, mapping.offsetInRegion, mapping.readonly);
      return true;
    } catch (error) {
      if (!mapping.ramDevice || !isSystemError(error, "EFAULT")) throw error;
      this.#warn(
        `${describeSection(mapping.section)}: no peer-to-peer DMA to it, the kernel cannot map it (EFAULT)`,
      );
      return false;
    }
  }

  async #dmaMap(
    iova: bigint,
    length: ByteCount,
    memory: DmaMemory,
    offset: ByteCount,
    readonly: boolean,
  ): Promise<void> {
    await this.ioas.map(memory, { iova, length, offset, writable: !readonly });
  }

  async #dmaUnmap(iova: bigint, length: bigint): Promise<void> {
    // A length of 2^64 does not fit into the ioctl, so the whole space goes in two halves.
    const halves = length >> 64n ? 2n : 1n;
    for (let half = 0n; half < halves; half++) {
      try {
        await this.ioas.unmap(iova + half * (length / halves), length / halves);
      } catch (error) {
        if (!isSystemError(error, "ENOENT")) throw error;
      }
    }
  }

  /** Unmaps, the newest first; returns those that could not be. */
  async #undo(mappings: readonly PlannedMapping[]): Promise<PlannedMapping[]> {
    const stuck: PlannedMapping[] = [];
    for (const mapping of [...mappings].reverse()) {
      try {
        await this.#dmaUnmap(mapping.iova, mapping.length);
      } catch {
        stuck.push(mapping);
      }
    }
    return stuck;
  }

  #warnIfMisaligned(skipped: SkippedSection): void {
    if (!isUnexpectedlyMisaligned(skipped)) return;
    this.#warn(`${describeSection(skipped.section)}: not mapped, it is not aligned like its region`);
  }

  #planOptions(): PlanOptions {
    return { bypassRo: this.bypassRo, pageSize: this.#iommufd.pageSize };
  }

  #serialize<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

function memoryFor({ section }: PlannedMapping, memory: RegionMemory): DmaMemory {
  const found = memory(section.region);
  if (found === undefined) throw invalidType("memory", `the memory of ${describeSection(section)}`, found);
  return found;
}
