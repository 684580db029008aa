/**
 * The nest parents of an address space, and what EINVAL and EOPNOTSUPP of them mean. If the IOMMU reports
 * ERRATA_772415_SPR17, the kernel takes no read-only mapping into a nest parent. It also makes no nest parent of an
 * address space that has one (drivers/iommu/intel/iommu.c, Linux 6.12; drivers/iommu/generic_pt/fmt/vtdss.h, 7.2). It
 * says why in its log alone.
 */

import { explained, isSystemError, type SystemError } from "../errors.ts";
import { reportsErratum772415 } from "../hw-info/vtd.ts";
import { isWithin } from "../iova-ranges.ts";
import { IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_IOAS_MAP_WRITEABLE, type IovaRanges } from "../uapi.ts";
import type { Device } from "./device.ts";
import type { Resource } from "./resource.ts";

const RULE = "(ERRATA_772415_SPR17; docs/troubleshooting.md)";

/** The part of a request that says how memory is mapped: the flags of IOMMU_IOAS_MAP. */
interface MapFlags {
  readonly flags: number;
}

/** Notes what the errors of an address space can be about. */
export class NestParents {
  readonly #iovaRanges: () => IovaRanges;
  readonly #devices = new Map<Resource, Device>();
  #hadReadOnly = false;

  /** @param iovaRanges where mappings of the address space may be */
  constructor(iovaRanges: () => IovaRanges) {
    this.#iovaRanges = iovaRanges;
  }

  /** A nest parent was made for a device. */
  add(hwpt: Resource, device: Device): void {
    this.#devices.set(hwpt, device);
  }

  /** Maps: notes what was mapped, and explains why it was not. */
  async map(request: MapFlags, call: () => Promise<bigint>): Promise<bigint> {
    try {
      const iova = await call();
      this.mapped(request);
      return iova;
    } catch (error) {
      throw this.explainMap(error);
    }
  }

  /** The same of mappings that were made at once: throws what ended them. */
  mappedMany(request: MapFlags, { done, error }: { done: number; error?: unknown }): void {
    if (done > 0) this.mapped(request);
    if (error !== undefined) throw this.explainMap(error);
  }

  /** Notes what was mapped. */
  mapped({ flags }: MapFlags): void {
    this.#hadReadOnly ||= isReadOnly(flags);
  }

  /** The error of mapping, with what it means, if nothing else is wrong with what was asked. */
  explainMap(error: unknown): unknown {
    if (!isSystemError(error, "EINVAL") || !isReadOnly(error.request["flags"])) return error;
    return this.#ifSo(error, `this IOMMU takes no read-only mapping into a nest parent ${RULE}`, () => {
      for (const hwpt of this.#devices.keys()) if (hwpt.closed) this.#devices.delete(hwpt);
      const devices = [...this.#devices.values()];
      const reported = devices.some((device) => reportsErratum772415(device.hwInfo()));
      return reported && couldBeMapped(error, this.#iovaRanges());
    });
  }

  /** The error of allocating a page table for a device. */
  explainAlloc(error: unknown, device: Device): unknown {
    if (!isSystemError(error, "EINVAL", "EOPNOTSUPP")) return error;
    const { flags } = error.request;
    if (typeof flags !== "number" || (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) === 0) return error;
    if (error.code === "EOPNOTSUPP") {
      const alone = flags === IOMMU_HWPT_ALLOC_NEST_PARENT;
      return explained(error, alone ? "the kernel makes no nest parent for this device" : undefined);
    }
    const meaning = `this IOMMU makes no nest parent of an address space with read-only mappings ${RULE}`;
    return this.#ifSo(
      error,
      meaning,
      () => this.#hadReadOnly && reportsErratum772415(device.hwInfo()) === true,
    );
  }

  /** A question about an error may fail, too. Then the error stays unchanged. */
  #ifSo(error: SystemError, meaning: string, isSo: () => boolean): SystemError {
    try {
      return isSo() ? explained(error, meaning) : error;
    } catch {
      return error;
    }
  }
}

function isReadOnly(flags: unknown): boolean {
  return typeof flags === "number" && (flags & IOMMU_IOAS_MAP_WRITEABLE) === 0;
}

/** Whether the place of the mapping gives no reason to refuse it. */
function couldBeMapped({ request }: SystemError, { ranges, alignment }: IovaRanges): boolean {
  const iova = request["iova"] ?? request["destinationIova"];
  const { length } = request;
  // Placed by the kernel, it is aligned, and within the ranges.
  if (typeof iova !== "bigint" || typeof length !== "bigint") return true;
  if ((iova | length) & (alignment - 1n)) return false;
  return isWithin(ranges, iova, length);
}
