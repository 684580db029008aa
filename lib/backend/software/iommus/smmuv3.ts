/**
 * Arm SMMUv3, and the vIOMMUs that it gives to guests (drivers/iommu/arm/arm-smmu-v3/). Fields of the registers have the names of
 * the Arm System Memory Management Unit Architecture Specification, SMMU version 3 (IHI 0070).
 */

import {
  type DriverData,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
  IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
} from "../../../uapi.ts";
import type { BatchStatus } from "../../raw.ts";
import type { InvalidateRequest } from "../../requests.ts";
import type { DomainProfile, HwInfoProfile, IommuProfile } from "../profile.ts";
import { Refusal, stoppedAt } from "../refusal.ts";
import { type HwptFlags, Iommu } from "./iommu.ts";
import { Smmuv3Stage1 } from "./smmuv3-stage-1.ts";
import type { Stage1 } from "./stage-1.ts";
import type { ViommuDriver, VirtualDevices } from "./viommu-driver.ts";

/** IDR0: stage 1 translation. */
const IDR0_S1P = 0b10n;

/** Its model. */
export class Smmuv3Iommu extends Iommu {
  readonly hwInfoType = IOMMU_HW_INFO_TYPE_ARM_SMMUV3;
  readonly #registers: HwInfoProfile<"arm-smmuv3">["registers"];

  constructor(profile: IommuProfile, { registers }: HwInfoProfile<"arm-smmuv3">) {
    super(profile);
    this.#registers = registers;
  }

  /** struct iommu_hw_info_arm_smmuv3, 40 bytes: u32 flags, u32 reserved, u32 idr[6], u32 iidr, u32 aidr. */
  hwInfo(): Uint8Array {
    const { IDR0, IDR1, IDR2, IDR3, IDR4, IDR5, IIDR, AIDR } = this.#registers;
    const words = [0n, 0n, IDR0, IDR1, IDR2, IDR3, IDR4, IDR5, IIDR, AIDR];
    return new Uint8Array(Uint32Array.from(words, Number).buffer);
  }

  /** arm_smmu_domain_alloc_paging_flags(): a nest parent is of stage 2, what tracks dirty pages or takes PASIDs of stage 1. */
  override pagingDomain(flags: HwptFlags): DomainProfile {
    const ofStage1 = flags.dirtyTracking || flags.pasid;
    if (ofStage1 && (flags.nestParent || !(this.#registers.IDR0 & IDR0_S1P))) throw new Refusal("EOPNOTSUPP");
    return super.pagingDomain(flags);
  }

  /** arm_smmu_attach_dev() */
  override checkDomain({ iommu }: { readonly iommu: Iommu }): void {
    if (iommu !== this) throw new Refusal("EINVAL");
  }

  /** arm_smmu_enable_iopf(): a device that does not stall needs no queue, and is not refused. */
  override checkFaultQueue(): void {}

  override hasViommu(type: number): boolean {
    return this.profile.viommu === true && type === IOMMU_VIOMMU_TYPE_ARM_SMMUV3;
  }

  /** arm_vsmmu_init() */
  override viommu(parent: Iommu): ViommuDriver {
    if (parent !== this) throw new Refusal("EINVAL");
    return new Vsmmu(this.#registers);
  }
}

/** Commands of an SMMU's queue that a guest may give (section 4). */
const TLBI = [
  0x10n, // CMD_TLBI_NH_ALL
  0x11n, // CMD_TLBI_NH_ASID
  0x12n, // CMD_TLBI_NH_VA
  0x13n, // CMD_TLBI_NH_VAA
  0x30n, // CMD_TLBI_NSNH_ALL
];
/** Commands that name a stream. */
const OF_A_STREAM = [
  0x05n, // CMD_CFGI_CD
  0x06n, // CMD_CFGI_CD_ALL
  0x40n, // CMD_ATC_INV
];
const COMMAND_LENGTH = 16;

class Vsmmu implements ViommuDriver {
  readonly #registers: HwInfoProfile<"arm-smmuv3">["registers"];

  constructor(registers: HwInfoProfile<"arm-smmuv3">["registers"]) {
    this.#registers = registers;
  }

  /** arm_vsmmu_alloc_domain_nested() */
  allocNested(data: DriverData, { pasid }: { readonly pasid: boolean }): Stage1 {
    if (pasid) throw new Refusal("EOPNOTSUPP");
    return Smmuv3Stage1.of(data, this.#registers);
  }

  /** arm_vsmmu_cache_invalidate(): there is no cache to drop anything from, each walk looks anew. */
  invalidate(request: InvalidateRequest, devices: VirtualDevices): BatchStatus {
    const commands = readCommands(request);
    for (const [done, command] of commands.entries()) {
      const operation = command & 0xffn;
      if (TLBI.includes(operation)) continue;
      if (!OF_A_STREAM.includes(operation) || devices.find(command >> 32n) === undefined)
        return stoppedAt(done, "EIO");
    }
    return { done: commands.length, status: 0 };
  }
}

/**
 * The first double word of each command: struct iommu_viommu_arm_smmuv3_invalidate, u64 cmd[2]. One that is shorter is filled up
 * with zeros, one that is longer has to have zeros behind (copy_struct_from_user()).
 */
function readCommands({ dataType, entryLength, count, entries }: InvalidateRequest): bigint[] {
  if (dataType !== IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 || count === 0) throw new Refusal("EINVAL");
  return Array.from({ length: count }, (_, index) => {
    const entry = entries.subarray(index * entryLength, (index + 1) * entryLength);
    if (entry.subarray(COMMAND_LENGTH).some((byte) => byte !== 0)) throw new Refusal("E2BIG");
    const command = new Uint8Array(COMMAND_LENGTH);
    command.set(entry.subarray(0, COMMAND_LENGTH));
    return new DataView(command.buffer).getBigUint64(0, true);
  });
}
