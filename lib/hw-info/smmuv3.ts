/**
 * The features of an Arm SMMUv3, from its identification registers, and NVIDIA's CMDQV extension of it. The names are
 * from the Arm System Memory Management Unit Architecture Specification, SMMU version 3 (IHI 0070), sections 6.3.1 to
 * 6.3.8.
 *
 * A VMM may read of it what include/uapi/linux/iommufd.h lists at struct iommu_hw_info_arm_smmuv3, which is
 * {@link SMMUV3_GUEST_FIELDS}; the other fields are for people. Where Linux has a macro for a field
 * (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h) a test compares the two.
 */

import { type Field, type FieldValues, field, fieldValues, flag, oneOf, reservedBits } from "./register.ts";

const entries = (value: number) => `${2 ** value} entries`;
const bits = (value: number) => `${value} bits`;

/** The registers in the order of the kernel's structure, each with its fields from the lowest bit up. */
export const SMMUV3_REGISTERS = {
  IDR0: [
    flag("S2P", 0, "Stage 2 translation"),
    flag("S1P", 1, "Stage 1 translation"),
    field("TTF", 3, 2, "Translation table formats", oneOf("none", "AArch32", "AArch64", "AArch32, AArch64")),
    flag("COHACC", 4, "Coherent access to tables and queues"),
    flag("BTM", 5, "Broadcast TLB maintenance"),
    field("HTTU", 7, 6, "Hardware translation table update", oneOf("no", "A", "A and D", "A, D and HAFT")),
    flag("DORMHINT", 8, "Dormant hint"),
    flag("Hyp", 9, "EL2 stage 1 contexts"),
    flag("ATS", 10, "PCIe ATS"),
    flag("NS1ATS", 11, "Split-stage ATS not supported"),
    flag("ASID16", 12, "16-bit ASIDs"),
    flag("MSI", 13, "Message-signalled interrupts"),
    flag("SEV", 14, "Events for WFE"),
    flag("ATOS", 15, "Address translation operations"),
    flag("PRI", 16, "PCIe page requests"),
    flag("VMW", 17, "VMID wildcard matching"),
    flag("VMID16", 18, "16-bit VMIDs"),
    flag("CD2L", 19, "2-level context descriptor tables"),
    flag("VATOS", 20, "Virtual address translation operations"),
    field(
      "TTENDIAN",
      22,
      21,
      "Translation table endianness",
      oneOf("mixed", "reserved value", "little", "big"),
    ),
    flag("ATSRECERR", 23, "Records of ATS errors"),
    field("STALL_MODEL", 25, 24, "Stall model", oneOf("stall and terminate", "terminate", "stall forced")),
    flag("TERM_MODEL", 26, "Terminate model", ["RAZ/WI or abort", "abort only"]),
    field("ST_LEVEL", 28, 27, "Stream table levels", oneOf("linear", "linear or 2-level")),
    flag("RME_IMPL", 30, "Realm management extension"),
  ],
  IDR1: [
    field("SIDSIZE", 5, 0, "StreamID size", bits),
    field("SSIDSIZE", 10, 6, "SubstreamID size", bits),
    field("PRIQS", 15, 11, "Page request queue size", entries),
    field("EVENTQS", 20, 16, "Event queue size", entries),
    field("CMDQS", 25, 21, "Command queue size", entries),
    flag("ATTR_PERMS_OVR", 26, "Permission overrides"),
    flag("ATTR_TYPES_OVR", 27, "Memory type overrides"),
    flag("REL", 28, "Addresses of preset tables and queues are relative"),
    flag("QUEUES_PRESET", 29, "Queue addresses are fixed"),
    flag("TABLES_PRESET", 30, "Table addresses are fixed"),
    flag("ECMDQ", 31, "Enhanced command queues"),
  ],
  IDR2: [field("BA_VATOS", 9, 0, "VATOS page base offset")],
  IDR3: [
    flag("HAD", 2, "Hierarchical attributes can be disabled"),
    flag("PBHA", 3, "Page-based hardware attributes"),
    flag("XNX", 4, "Stage 2 execute control by EL0 and EL1"),
    flag("PPS", 5, "PASID in page request responses"),
    flag("MPAM", 7, "Memory partitioning and monitoring"),
    flag("FWB", 8, "Stage 2 forced write-back"),
    flag("STT", 9, "Small translation tables"),
    flag("RIL", 10, "Range invalidation"),
    field("BBML", 12, 11, "Break-before-make level"),
    flag("E0PD", 13, "EL0 access can be prevented by half"),
    flag("PTWNNC", 14, "Page table walks to non-cacheable memory"),
    flag("DPT", 15, "Device permission table"),
  ],
  IDR4: [field("IMPDEF", 31, 0, "Implementation defined")],
  IDR5: [
    field(
      "OAS",
      2,
      0,
      "Output address size",
      oneOf("32 bits", "36 bits", "40 bits", "42 bits", "44 bits", "48 bits", "52 bits", "56 bits"),
    ),
    flag("GRAN4K", 4, "4 KiB granule"),
    flag("GRAN16K", 5, "16 KiB granule"),
    flag("GRAN64K", 6, "64 KiB granule"),
    flag("DS", 7, "52-bit addresses with 4 KiB and 16 KiB granules"),
    flag("D128", 8, "128-bit descriptors"),
    field("VAX", 11, 10, "Virtual address size", oneOf("48 bits", "52 bits", "56 bits")),
    field("STALL_MAX", 31, 16, "Most stalled transactions"),
  ],
  IIDR: [
    field("Implementer", 11, 0, "Implementer, JEP106 code"),
    field("Revision", 15, 12, "Minor revision"),
    field("Variant", 19, 16, "Major revision"),
    field("ProductID", 31, 20, "Product"),
  ],
  AIDR: [
    field("ArchMinorRev", 3, 0, "Architecture minor revision"),
    field("ArchMajorRev", 7, 4, "Architecture major revision", oneOf("SMMUv3")),
  ],
} as const satisfies Record<string, readonly Field[]>;

/** The fields that the kernel lets a VMM rely on (struct iommu_hw_info_arm_smmuv3 in linux/iommufd.h). */
export const SMMUV3_GUEST_FIELDS = {
  IDR0: ["ST_LEVEL", "TERM_MODEL", "STALL_MODEL", "TTENDIAN", "CD2L", "ASID16", "TTF"],
  IDR1: ["SIDSIZE", "SSIDSIZE"],
  IDR3: ["BBML", "RIL"],
  IDR5: ["VAX", "GRAN64K", "GRAN16K", "GRAN4K"],
} as const;

/** Name of a register of an SMMUv3. */
export type Smmuv3Register = keyof typeof SMMUV3_REGISTERS;

const NAMES = Object.keys(SMMUV3_REGISTERS) as Smmuv3Register[];

/** struct iommu_hw_info_arm_smmuv3, 40 bytes: u32 flags, u32 reserved, u32 idr[6], u32 iidr, u32 aidr. */
export interface Smmuv3HwInfo {
  /** 0 so far. */
  readonly flags: number;
  /** The registers, 32 bits each. */
  readonly registers: Readonly<Record<Smmuv3Register, number>>;
}

/** The fields of the registers. */
export interface Smmuv3Capabilities {
  /** Fields of each register. */
  readonly fields: Readonly<Record<Smmuv3Register, FieldValues>>;
  /** The capabilities that follow from them. */
  readonly derived: {
    /** Both stages, and so nested translation (S1P and S2P). */
    readonly nestedTranslation: boolean;
    /** Width of StreamIDs, in bits. */
    readonly streamIdBits: number;
    /** Width of SubstreamIDs (PASIDs) in bits, 0 where there are none. */
    readonly substreamIdBits: number;
    /** Page sizes that translation tables can be made of, in bytes. */
    readonly granules: readonly number[];
    /** Width of virtual addresses in bits; 0 for the reserved value. */
    readonly virtualAddressBits: number;
    /** Version of the architecture: "3.2". */
    readonly version: string;
    /** Bits that are set and have no name here, by register. Registers without such bits are left out. */
    readonly unnamedBits: Readonly<Partial<Record<Smmuv3Register, readonly number[]>>>;
  };
}

/** Reads struct iommu_hw_info_arm_smmuv3; undefined where the data is too short to be one. */
export function readSmmuv3HwInfo(data: Uint8Array): Smmuv3HwInfo | undefined {
  if (data.byteLength < 40) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return {
    flags: view.getUint32(0, true),
    registers: byRegister((_, index) => view.getUint32(8 + index * 4, true)),
  };
}

/** Decodes the registers (Arm SMMU architecture version 3, IHI 0070; the names are its acronyms). */
export function decodeSmmuv3({ registers }: Smmuv3HwInfo): Smmuv3Capabilities {
  const fields = byRegister((name) => fieldValues(BigInt(registers[name]), SMMUV3_REGISTERS[name]));
  const value = (register: Smmuv3Register, name: string) => fields[register][name] as number;
  const unnamed = NAMES.map(
    (name) => [name, reservedBits(BigInt(registers[name]), SMMUV3_REGISTERS[name])] as const,
  );
  return {
    fields,
    derived: {
      nestedTranslation: value("IDR0", "S1P") === 1 && value("IDR0", "S2P") === 1,
      streamIdBits: value("IDR1", "SIDSIZE"),
      substreamIdBits: value("IDR1", "SSIDSIZE"),
      granules: ([4, 16, 64] as const)
        .filter((size) => value("IDR5", `GRAN${size}K`) === 1)
        .map((size) => size * 1024),
      virtualAddressBits: [48, 52, 56][value("IDR5", "VAX")] ?? 0,
      version: `${value("AIDR", "ArchMajorRev") + 3}.${value("AIDR", "ArchMinorRev")}`,
      unnamedBits: Object.fromEntries(unnamed.filter(([, numbers]) => numbers.length > 0)),
    },
  };
}

function byRegister<Value>(
  make: (name: Smmuv3Register, index: number) => Value,
): Record<Smmuv3Register, Value> {
  return Object.fromEntries(NAMES.map((name, index) => [name, make(name, index)])) as Record<
    Smmuv3Register,
    Value
  >;
}

/** struct iommu_hw_info_tegra241_cmdqv, 8 bytes: u32 flags, u8 version, u8 log2vcmdqs, u8 log2vsids, u8 reserved. */
export interface Tegra241CmdqvHwInfo {
  /** 0 so far. */
  readonly flags: number;
  /** Version of the CMDQ-V hardware (PARAM bits 3:0). */
  readonly version: number;
  /** How many virtual command queues there are (PARAM bits 7:4 hold its logarithm). */
  readonly vcmdqs: number;
  /** How many stream ids can be replaced (PARAM bits 15:12 hold its logarithm). */
  readonly vsids: number;
}

/** Reads struct iommu_hw_info_tegra241_cmdqv; undefined where the data is too short to be one. */
export function readTegra241CmdqvHwInfo(data: Uint8Array): Tegra241CmdqvHwInfo | undefined {
  if (data.byteLength < 8) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return {
    flags: view.getUint32(0, true),
    version: view.getUint8(4),
    vcmdqs: 2 ** view.getUint8(5),
    vsids: 2 ** view.getUint8(6),
  };
}
