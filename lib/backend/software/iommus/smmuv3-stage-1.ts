/**
 * Stage 1 of an SMMUv3: a stream table entry leads to a context descriptor, and the descriptor to translation tables of
 * the VMSAv8-64 format. The sources are the Arm System Memory Management Unit Architecture Specification, SMMU version
 * 3 (IHI 0070), sections 3.4, 5.2, 5.4 and 7.3, and the Arm Architecture Reference Manual, section D8. Granules of 4,
 * 16 and 64 KiB, addresses of up to 48 bits, no PASIDs.
 *
 * The model has no HTTU and no stalls, as QEMU's SMMU: no walk sets a flag, and each fault ends its transaction. It does not tell
 * privileged and unprivileged accesses apart.
 */

import { type DriverData, IOMMU_HWPT_DATA_ARM_SMMUV3, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 } from "../../../uapi.ts";
import type { HwInfoProfile } from "../profile.ts";
import { Refusal } from "../refusal.ts";
import type {
  Access,
  AttachingDevice,
  Blocked,
  DmaFaultReason,
  FirstStageEvent,
  GuestMemory,
  Stage1,
} from "./stage-1.ts";

type Registers = HwInfoProfile<"arm-smmuv3">["registers"];

/** Bits `last` to `first` of a value. */
function bits(value: bigint, last: number, first: number): number {
  return Number(BigInt.asUintN(last - first + 1, value >> BigInt(first)));
}

function has(value: bigint, bit: number): boolean {
  return bits(value, bit, bit) === 1;
}

/** A mask of bits `last` to `first`. */
function mask(last: number, first: number): bigint {
  return (1n << BigInt(last + 1)) - (1n << BigInt(first));
}

/** The fields of an STE that a guest may set: V, Config, S1Fmt, S1ContextPtr, S1CDMax; S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS. */
const STE_ALLOWED = [
  mask(51, 6) | mask(63, 59) | mask(5, 0),
  mask(7, 0) | mask(27, 27) | mask(29, 28),
] as const;
const CONFIG = { abort: 0, bypass: 4, stage1: 5 };
const EATS = { abort: 0, translate: 1 };

/** Widths of output addresses by IDR5.OAS and CD.IPS. */
const ADDRESS_BITS = [32, 36, 40, 42, 44, 48];
/** The granule as a number of bits, by CD.TG0 and CD.TG1. */
const TG = [
  [12, 16, 14],
  [undefined, 14, 12, 16],
] as const;

/** Events, by name in section 7.3. */
const EVENT = {
  C_BAD_STE: 0x04,
  C_BAD_CD: 0x0a,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
};
/** In the second double word of an event: RnW, and Class: the address of the transaction is what was wrong. */
const READ = 1n << 35n;
const CLASS_IN = 2n << 40n;

/** One of the two translation tables of a context. */
interface Table {
  /** TTB0 or TTB1. */
  readonly base: bigint;
  /** How many bits of an address it translates. */
  readonly inputBits: number;
  /** The granule, as a number of bits. */
  readonly granule: number;
  /** Whether permissions in entries that lead to tables do not count (HAD0, HAD1). */
  readonly flat: boolean;
}

/** A context descriptor, decoded. */
interface Context {
  /** The lower and the upper half; undefined where a walk is not made (EPD). */
  readonly tables: readonly [Table | undefined, Table | undefined];
  /** Whether the top byte of an address of that half is none of it (TBI). */
  readonly topByteIgnored: readonly [boolean, boolean];
  /** Width of the addresses that it leads to. */
  readonly outputBits: number;
  /** Whether entries need no Access flag (AFFD). */
  readonly noAccessFlag: boolean;
  /** Whether faults of its tables are recorded (R). */
  readonly recordsFaults: boolean;
}

/** A guest's stage 1. */
export class Smmuv3Stage1 implements Stage1 {
  readonly #ste: readonly [bigint, bigint];
  readonly #registers: Registers;

  constructor(ste: readonly [bigint, bigint], registers: Registers) {
    this.#ste = ste;
    this.#registers = registers;
  }

  /** struct iommu_hwpt_arm_smmuv3, 16 bytes: u64 ste[2]; arm_smmu_validate_vste(). */
  static of({ type, bytes }: DriverData, registers: Registers): Smmuv3Stage1 {
    if (type !== IOMMU_HWPT_DATA_ARM_SMMUV3 || bytes.length !== 16) throw new Refusal("EINVAL");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const ste = [view.getBigUint64(0, true), view.getBigUint64(8, true)] as const;
    if (!has(ste[0], 0)) return new Smmuv3Stage1([0n, 0n], registers);
    if (ste[0] & ~STE_ALLOWED[0] || ste[1] & ~STE_ALLOWED[1]) throw new Refusal("EIO");
    if (!Object.values(CONFIG).includes(bits(ste[0], 3, 1))) throw new Refusal("EIO");
    if (!Object.values(EATS).includes(bits(ste[1], 29, 28))) throw new Refusal("EIO");
    return new Smmuv3Stage1(ste, registers);
  }

  /** arm_smmu_attach_prepare_vmaster(): a device whose stage 1 translates has to have a vDEVICE. */
  checkAttach({ virtualId }: AttachingDevice): void {
    if (this.#config === CONFIG.stage1 && virtualId === undefined) throw new Refusal("ENOENT");
  }

  /** STE.Config; an invalid value aborts. */
  get #config(): number {
    return has(this.#ste[0], 0) ? bits(this.#ste[0], 3, 1) : CONFIG.abort;
  }

  translate(memory: GuestMemory, access: Access, iova: bigint): bigint | Blocked {
    if (this.#config === CONFIG.abort) return { reason: "first-stage-aborts" };
    if (this.#config === CONFIG.bypass) return iova;
    if (!this.#steIsLegal()) return misconfigured(EVENT.C_BAD_STE);
    const context = this.#readContext(memory);
    if ("reason" in context) return context;
    return new Walk(context, memory, access, iova).result();
  }

  /** One context, as without PASIDs (S1CDMax), and stalls where the SMMU has such (S1STALLD, STALL_MODEL). */
  #steIsLegal(): boolean {
    const stalls = bits(this.#registers.IDR0, 25, 24) !== 1;
    return bits(this.#ste[0], 63, 59) === 0 && (stalls || !has(this.#ste[1], 27));
  }

  /** The context descriptor of transactions without a PASID: the first. */
  #readContext(memory: GuestMemory): Context | Blocked {
    const address = this.#ste[0] & mask(51, 6);
    const words: bigint[] = [];
    for (let index = 0n; index < 3n; index++) {
      const word = memory.read(address + index * 8n);
      if (typeof word !== "bigint") return word;
      words.push(word);
    }
    return this.#decodeContext(words as [bigint, bigint, bigint]) ?? misconfigured(EVENT.C_BAD_CD);
  }

  /** Undefined where it is ILLEGAL. */
  #decodeContext([cd, ...bases]: [bigint, bigint, bigint]): Context | undefined {
    const [idr0, idr5] = [this.#registers.IDR0, this.#registers.IDR5];
    if (!has(cd, 31) || !has(cd, 41)) return undefined; // V, AA64
    if (!has(cd, 46) && has(idr0, 26)) return undefined; // A, where TERM_MODEL allows nothing else
    if (bits(cd, 44, 42) !== 0) return undefined; // HD, HA, S
    const widest = ADDRESS_BITS[bits(idr5, 2, 0)] ?? 48;
    const outputBits = Math.min(ADDRESS_BITS[bits(cd, 34, 32)] ?? 48, widest);
    const tables: (Table | undefined)[] = [];
    for (const [half, base] of bases.entries()) {
      if (has(cd, half === 0 ? 14 : 30)) {
        tables.push(undefined); // EPD0, EPD1
        continue;
      }
      const table = this.#decodeTable(cd, half as 0 | 1, base, outputBits);
      if (table === undefined) return undefined;
      tables.push(table);
    }
    return {
      tables: tables as [Table | undefined, Table | undefined],
      topByteIgnored: [has(cd, 38), has(cd, 39)],
      outputBits,
      noAccessFlag: has(cd, 35),
      recordsFaults: has(cd, 45),
    };
  }

  #decodeTable(cd: bigint, half: 0 | 1, base: bigint, outputBits: number): Table | undefined {
    const at = half * 16;
    const size = bits(cd, at + 5, at); // T0SZ, T1SZ
    const granule = TG[half][bits(cd, at + 7, at + 6)];
    if (size < 16 || size > 39 || has(cd, 15)) return undefined; // ENDI: big-endian
    const granules = bits(this.#registers.IDR5, 6, 4); // GRAN4K, GRAN16K, GRAN64K
    if (granule === undefined || !((granules >> ((granule - 12) / 2)) & 1)) return undefined;
    const address = base & mask(51, 4);
    if (address >> BigInt(outputBits)) return undefined;
    return { base: address, inputBits: 64 - size, granule, flat: has(base, 1) };
  }
}

/** One walk of a context's tables. */
class Walk {
  readonly #context: Context;
  readonly #memory: GuestMemory;
  readonly #access: Access;
  readonly #iova: bigint;

  constructor(context: Context, memory: GuestMemory, access: Access, iova: bigint) {
    this.#context = context;
    this.#memory = memory;
    this.#access = access;
    this.#iova = iova;
  }

  /** The guest-physical address. */
  result(): bigint | Blocked {
    const { tables, topByteIgnored } = this.#context;
    const half = has(this.#iova, 55) ? 1 : 0;
    const table = tables[half];
    const significant = topByteIgnored[half] ? 56 : 64;
    if (table === undefined) return this.#fault("not-canonical", EVENT.F_TRANSLATION);
    const above = bits(this.#iova, significant - 1, table.inputBits);
    if (above !== (half === 0 ? 0 : 2 ** (significant - table.inputBits) - 1))
      return this.#fault("not-canonical", EVENT.F_TRANSLATION);
    return this.#walk(table);
  }

  #walk({ base, inputBits, granule, flat }: Table): bigint | Blocked {
    const stride = granule - 3;
    let level = 4 - Math.ceil((inputBits - granule) / stride);
    const shiftOf = (at: number) => granule + (3 - at) * stride;
    // The first table is as short as the addresses allow, and aligned to its length.
    const first = 1n << BigInt(Math.max(inputBits - shiftOf(level) + 3, 6));
    let table = base & -first;
    let inputs = inputBits;
    let readOnly = false;
    for (; ; level++) {
      const shift = shiftOf(level);
      const entry = this.#memory.read(table + BigInt(bits(this.#iova, inputs - 1, shift)) * 8n);
      if (typeof entry !== "bigint") return entry;
      const isTable = has(entry, 1) && level < 3;
      if (!has(entry, 0) || (!isTable && !canBeLeaf(entry, level, granule)))
        return this.#fault("not-present", EVENT.F_TRANSLATION);
      const address = entry & mask(47, isTable ? granule : shift);
      if (!isTable) return this.#leaf(entry, address, shift, readOnly);
      if (address >> BigInt(this.#context.outputBits)) return this.#tooLarge();
      readOnly ||= !flat && has(entry, 62); // APTable
      table = address;
      inputs = shift;
    }
  }

  #leaf(entry: bigint, address: bigint, shift: number, readOnly: boolean): bigint | Blocked {
    if (!has(entry, 10) && !this.#context.noAccessFlag) return this.#fault("not-accessed", EVENT.F_ACCESS);
    if (this.#access === "write" && (readOnly || has(entry, 7)))
      return this.#fault("first-stage-read-only", EVENT.F_PERMISSION);
    if (address >> BigInt(this.#context.outputBits)) return this.#tooLarge();
    return address | (this.#iova & mask(shift - 1, 0));
  }

  #tooLarge(): Blocked {
    return this.#fault("first-stage-address-too-large", EVENT.F_ADDR_SIZE);
  }

  /** Recorded where the context says so. */
  #fault(reason: DmaFaultReason, id: number): Blocked {
    if (!this.#context.recordsFaults) return { reason };
    const rest = CLASS_IN | (this.#access === "read" ? READ : 0n);
    return { reason, event: smmuEvent(id, rest, this.#iova) };
  }
}

/** A page, or a block of level 1 or 2 where the granule has blocks. */
function canBeLeaf(entry: bigint, level: number, granule: number): boolean {
  if (level === 3) return has(entry, 1);
  return level === 2 || (level === 1 && granule === 12);
}

function misconfigured(id: number): Blocked {
  return { reason: "first-stage-misconfigured", event: smmuEvent(id, 0n, 0n) };
}

/** A record of the event queue, which the kernel hands on with the StreamID of the guest (arm_vmaster_report_event()). */
function smmuEvent(id: number, second: bigint, address: bigint): FirstStageEvent {
  return {
    type: IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
    record: (streamId) =>
      new Uint8Array(
        BigUint64Array.of(BigInt(id) | (BigInt.asUintN(32, streamId) << 32n), second, address, 0n).buffer,
      ),
  };
}
