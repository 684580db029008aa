/**
 * Finds out what there is to know about a device before a VMM gets it, and leaves nothing changed.
 */

import { normalizeBdf } from "../bdf.ts";
import { isSystemError } from "../errors.ts";
import { type DecodedHwInfo, decodeHwInfo } from "../hw-info/hw-info.ts";
import type { Device } from "../iommufd/device.ts";
import type { Iommufd } from "../iommufd/iommufd.ts";
import type { IovaRange } from "../uapi.ts";
import { type HostIommuQuirk, hostIommuQuirks } from "./errata.ts";

/** The findings about one device. */
export interface ProbedDevice {
  /** Its PCI address in full, "0000:6a:01.0". */
  readonly bdf: string;
  /** Path of its character device; null where it has none. */
  readonly cdev: string | null;
  /** Null where it could not be asked. */
  readonly info: DecodedHwInfo | null;
  /** The quirks that a VMM has to heed; empty if the device could not be asked. */
  readonly quirks: readonly HostIommuQuirk[];
  /** Where mappings may be placed once it is attached; null where it could not be attached. */
  readonly iovaRanges: readonly IovaRange[] | null;
  /** Whether the kernel makes a nest parent for it; null where that could not be asked. */
  readonly nestParent: boolean | null;
  /** Why something above is missing. */
  readonly error: {
    /** "EBUSY", "ERR_IOMMUFD_NO_DEVICE" */
    readonly code: string;
    /** One line for people. */
    readonly message: string;
  } | null;
}

/**
 * Probes a device: binds it, asks for its hardware information, attaches it to an empty address space to learn
 * the IOVA ranges, makes a nest parent and frees it, and closes it again. Opening and closing a device resets it, where it can be reset.
 *
 * An error is part of the answer, so that one device does not stop the others.
 *
 * @param address its PCI address
 * @throws RangeError ERR_OUT_OF_RANGE: it is none
 */
export function probeDevice(iommufd: Iommufd, address: string): ProbedDevice {
  const bdf = normalizeBdf(address);
  let found: ProbedDevice = {
    bdf,
    cdev: null,
    info: null,
    quirks: [],
    iovaRanges: null,
    nestParent: null,
    error: null,
  };
  try {
    found = { ...found, cdev: iommufd.devicePath(bdf) };
    using device = iommufd.openDevice(bdf);
    const info = device.hwInfo();
    found = { ...found, info: decodeHwInfo(info), quirks: hostIommuQuirks(info.type, info.data) };
    found = { ...found, nestParent: askNestParent(iommufd, device) ?? null };
    return { ...found, iovaRanges: askIovaRanges(iommufd, device) };
  } catch (error) {
    return { ...found, error: describeFailure(error) };
  }
}

/**
 * Asks where mappings may be once a device is attached: attaches it to an empty address space, and detaches it again.
 *
 * @throws a system error where it cannot be attached, as of a device whose group is attached elsewhere (EBUSY)
 */
export function askIovaRanges(iommufd: Iommufd, device: Device): readonly IovaRange[] {
  using ioas = iommufd.allocIoas();
  device.attachSync(ioas);
  return ioas.iovaRanges().ranges;
}

/**
 * Asks whether a device's IOMMU can nest, by what a VMM would do: makes a nest parent on an empty address space, and frees it.
 *
 * @returns undefined where the kernel answers neither yes nor no, as without memory
 */
export function askNestParent(iommufd: Iommufd, device: Device): boolean | undefined {
  using ioas = iommufd.allocIoas();
  try {
    ioas.allocHwptSync(device, { nestParent: true });
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return error.code === "EOPNOTSUPP" ? false : undefined;
  }
}

function describeFailure(error: unknown): { code: string; message: string } {
  const { code, message } = error as NodeJS.ErrnoException;
  return { code: code ?? "ERR_UNKNOWN", message };
}
