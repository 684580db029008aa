/**
 * Captures the machine that a program runs on as a profile, for the software backend to replay anywhere.
 */

import { checkOptions, knownOptions } from "../arguments.ts";
import { IommufdError, isSystemError } from "../errors.ts";
import { type DecodedHwInfo, decodeHwInfo } from "../hw-info/hw-info.ts";
import type { Device } from "../iommufd/device.ts";
import type { HwptOptions } from "../iommufd/hwpt.ts";
import type { Iommufd } from "../iommufd/iommufd.ts";
import type { ViommuType } from "../iommufd/viommu.ts";
import { apertureOf, reservedBetween } from "../iova-ranges.ts";
import { hex } from "../json.ts";
import { type Origin, originOf } from "../origin.ts";
import {
  bitNames,
  HW_CAPABILITY_BITS,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_NONE,
  type IovaRange,
  VFIO_DEVICE_FLAGS_RESET,
} from "../uapi.ts";

interface Range {
  start: string;
  last: string;
}

interface CapturedDomain {
  aperture: Range;
  pageSizes: string[];
}

/** The document `iommufd.profile/1`, as `parseProfile()` reads it, with who answered. */
export interface CapturedProfile extends Origin {
  /** The version of the format. */
  readonly schema: "iommufd.profile/1";
  /** For people. */
  readonly name: string;
  /** For people: where and when it was captured. */
  readonly description: string;
  /** Page size of the host, in bytes. */
  readonly pageSize: number;
  /** Where the values are from, by path. */
  readonly sources: Readonly<Record<string, string>>;
  /** By name; u64 as hexadecimal strings. */
  readonly iommus: Readonly<Record<string, object>>;
  /** The devices that were bound to VFIO. */
  readonly devices: readonly object[];
}

/** The name and the description of a profile. */
export type CaptureWords = Pick<CapturedProfile, "name" | "description">;

const WORDS = knownOptions<CaptureWords>({ name: "other", description: "other" });

/**
 * Captures devices and the IOMMUs that they are behind. Each device is bound and closed again, which resets it where it
 * can be reset; page tables are made and destroyed, nothing is mapped.
 *
 * IOMMUs that answer alike are one in the profile.
 *
 * @param bdfs which devices; PCI addresses
 * @param words what the profile is called, and what it says of itself
 * @param onFailure told of each device that cannot be captured, which is left out then; default: that is thrown
 * @throws SystemError a device cannot be opened or asked
 * @throws IommufdError ERR_IOMMUFD_INPUT: a device is behind an IOMMU that profiles have no words for
 */
export function captureProfile(
  iommufd: Iommufd,
  bdfs: readonly string[],
  words: CaptureWords,
  onFailure?: (bdf: string, error: Error) => void,
): CapturedProfile {
  checkOptions(words, WORDS);
  const iommus = new Map<string, { name: string; iommu: object }>();
  const captured = bdfs.flatMap((bdf) => {
    try {
      const group = iommufd.iommuGroup(bdf);
      using device = iommufd.openDevice(bdf);
      return [{ group, iommu: captureIommu(iommufd, device), device: captureDevice(iommufd, device) }];
    } catch (error) {
      if (onFailure === undefined || !isRefusal(error)) throw error;
      onFailure(bdf, error);
      return [];
    }
  });
  const devices = captured.map(({ group, iommu, device: { bdf, ...rest } }) => {
    const key = JSON.stringify(iommu);
    const { name } = iommus.get(key) ?? { name: `iommu${iommus.size}` };
    iommus.set(key, { name, iommu });
    const shared = group !== undefined && captured.filter((each) => each.group === group).length > 1;
    return { bdf, iommu: name, ...rest, ...(shared && { group }) };
  });
  return {
    schema: "iommufd.profile/1",
    ...originOf(iommufd),
    kernelRelease: iommufd.kernelRelease,
    ...words,
    pageSize: iommufd.pageSize,
    sources: sourcesOf(iommufd),
    iommus: Object.fromEntries([...iommus.values()].map(({ name, iommu }) => [name, iommu])),
    devices,
  };
}

/** The questions behind the values. */
function sourcesOf({ backend, profile }: Iommufd): Record<string, string> {
  const who = backend === "kernel" ? "the kernel" : `a model of ${profile}`;
  return {
    kernelRelease: `${who}: what it calls itself`,
    pageSize: `${who}: the size of its pages`,
    iommus: `${who}: IOMMU_GET_HW_INFO, IOMMU_HWPT_ALLOC and IOMMU_IOAS_IOVA_RANGES; larger pages computed from the registers`,
    devices: `${who}: VFIO_DEVICE_GET_INFO, IOMMU_GET_HW_INFO, and IOMMU_IOAS_IOVA_RANGES once attached`,
  };
}

/** Whether an error says that this device, or the kernel, does not let itself be asked. */
function isRefusal(error: unknown): error is Error {
  return isSystemError(error) || error instanceof IommufdError;
}

function captureIommu(iommufd: Iommufd, device: Device): object {
  const info = decodeHwInfo(device.hwInfo());
  const domain = (options: HwptOptions) => captureDomain(iommufd, device, info, options);
  const [nestParent, dirtyTracking] = [domain({ nestParent: true }), domain({ dirtyTracking: true })];
  // The other drivers make the plain page table for PASIDs.
  const pasid = info.typeId === IOMMU_HW_INFO_TYPE_AMD ? domain({ pasid: true }) : undefined;
  return {
    hwInfo: captureHwInfo(device, info),
    domains: {
      plain: domain({}),
      ...(nestParent && { nestParent }),
      ...(dirtyTracking && { dirtyTracking }),
      ...(pasid && { pasid }),
    },
    ...(nestParent && makesViommus(iommufd, device, info) && { viommu: true }),
  };
}

function captureHwInfo(device: Device, { type, typeId, flags, vtd, smmuv3, amd }: DecodedHwInfo): object {
  if (typeId === IOMMU_HW_INFO_TYPE_NONE) return { type: "none" };
  if (vtd !== undefined)
    return { type: "intel-vtd", flags, capReg: hex(vtd.capReg), ecapReg: hex(vtd.ecapReg) };
  if (smmuv3 !== undefined) {
    const registers = Object.entries(smmuv3.registers).map(([name, value]) => [name, hex(BigInt(value))]);
    return { type: "arm-smmuv3", registers: Object.fromEntries(registers) };
  }
  if (amd !== undefined) return { type: "amd", efr: hex(amd.efr), efr2: hex(amd.efr2) };
  throw new IommufdError(
    "ERR_IOMMUFD_INPUT",
    `${device.name} is behind an IOMMU of type ${type}, which the software backend does not model yet`,
  );
}

/** Types of vIOMMUs, by that of the IOMMU. AMD's driver takes any: here the number of its hardware information. */
const VIOMMUS: ReadonlyMap<number, ViommuType> = new Map<number, ViommuType>([
  [IOMMU_HW_INFO_TYPE_ARM_SMMUV3, "arm-smmuv3"],
  [IOMMU_HW_INFO_TYPE_AMD, { type: IOMMU_HW_INFO_TYPE_AMD, bytes: new Uint8Array(0) }],
]);

/** Whether a nest parent can be the base of a vIOMMU; an SMMU refuses where devices can go past its caches. */
function makesViommus(iommufd: Iommufd, device: Device, { typeId }: DecodedHwInfo): boolean {
  const type = VIOMMUS.get(typeId);
  if (type === undefined) return false;
  using ioas = iommufd.allocIoas();
  try {
    ioas.allocHwptSync(device, { nestParent: true }).allocViommu(device, type);
    return true;
  } catch (error) {
    // Linux 6.12 has no vIOMMUs: ENOTTY.
    if (isSystemError(error, "EOPNOTSUPP") || isSystemError(error, "ENOTTY")) return false;
    throw error;
  }
}

/** A page table of a kind narrows an empty address space to what it can translate; undefined: there is none of that kind. */
function captureDomain(
  iommufd: Iommufd,
  device: Device,
  info: DecodedHwInfo,
  options: HwptOptions,
): CapturedDomain | undefined {
  using ioas = iommufd.allocIoas();
  try {
    ioas.allocHwptSync(device, options);
  } catch (error) {
    if (isSystemError(error, "EOPNOTSUPP")) return undefined;
    throw error;
  }
  const { ranges, alignment } = ioas.iovaRanges();
  return {
    aperture: captureRange(apertureOf(ranges)),
    pageSizes: [alignment, ...largerPages(info, alignment)].map(hex),
  };
}

/** Pages beside the smallest: what the registers say, or the format of the page table. */
function largerPages({ vtd, smmuv3 }: DecodedHwInfo, smallest: bigint): bigint[] {
  if (vtd !== undefined)
    return vtd.derived.secondStagePageSizes.map(BigInt).filter((size) => size > smallest);
  // Arm's translation tables (arm_lpae_restrict_pgsizes()): what an entry of level 2 maps; with 4 KiB of level 1, too.
  const block = smallest * (smallest / 8n);
  if (smmuv3 !== undefined) return smallest === 4096n ? [block, block * 512n] : [block];
  return [];
}

function captureDevice(iommufd: Iommufd, device: Device) {
  const { flags, numRegions, numIrqs } = device.info();
  const { type, maxPasidLog2, capabilities } = device.hwInfo();
  return {
    bdf: device.name,
    outCapabilities: bitNames(capabilities, HW_CAPABILITY_BITS),
    maxPasidLog2,
    reservedRegions: reservedRegions(iommufd, device),
    ...(type === IOMMU_HW_INFO_TYPE_INTEL_VTD && sendsPageRequests(iommufd, device) && { pri: true }),
    reset: (flags & VFIO_DEVICE_FLAGS_RESET) !== 0,
    numRegions,
    numIrqs,
  };
}

/** The ranges that attaching the device takes out of the middle. */
function reservedRegions(iommufd: Iommufd, device: Device): Range[] {
  using ioas = iommufd.allocIoas();
  device.attachSync(ioas);
  const { ranges } = ioas.iovaRanges();
  return reservedBetween(ranges).map(captureRange);
}

/** VT-d refuses a page table with a fault queue to a device that has no faults to send; other drivers do not ask. */
function sendsPageRequests(iommufd: Iommufd, device: Device): boolean {
  using ioas = iommufd.allocIoas();
  try {
    using faultQueue = iommufd.allocFaultQueue();
    device.attachSync(ioas.allocHwptSync(device, { faultQueue }));
    return true;
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
}

function captureRange({ start, last }: IovaRange): Range {
  return { start: hex(start), last: hex(last) };
}
