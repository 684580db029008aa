/**
 * Registers of an NVMe controller (NVM Express Base Specification 2.0, section 3.1): where each is, and what it says.
 */

/** The access to them: a `MappedRegion` of the library, or what stands for one in tests. */
export interface Registers {
  readUint32(offset: bigint): number;
  readUint64(offset: bigint): bigint;
  writeUint32(offset: bigint, value: number): void;
  writeUint64(offset: bigint, value: bigint): void;
}

/** Controller Capabilities. */
const CAP = 0x00n;
/** Controller Configuration. */
export const CC = 0x14n;
/** Controller Status. */
export const CSTS = 0x1cn;
/** Admin Queue Attributes. */
export const AQA = 0x24n;
/** Admin Submission Queue Base Address. */
export const ASQ = 0x28n;
/** Admin Completion Queue Base Address. */
export const ACQ = 0x30n;
/** Where the doorbells begin. */
const DOORBELLS = 0x1000n;

/** CC: Enable. */
export const CC_ENABLE = 1;
/** CC: Shutdown Notification, normal. */
export const CC_SHUTDOWN = 1 << 14;
/** CC: log2 of the sizes of queue entries, 64 and 16 bytes. */
const CC_ENTRY_SIZES = (6 << 16) | (4 << 20);
/** CSTS: Ready. */
export const CSTS_READY = 1;
/** CSTS: Controller Fatal Status. */
export const CSTS_FATAL = 2;
/** CSTS: Shutdown Status, and its value "complete". */
export const CSTS_SHUTDOWN_MASK = 3 << 2;
export const CSTS_SHUTDOWN_COMPLETE = 2 << 2;
/** The value of a register of a PCI device that is no longer there. */
export const GONE = 0xffff_ffff;

/** The content of CAP. */
export interface Capabilities {
  /** The most entries of a queue. */
  readonly entries: number;
  /** From one doorbell to the next, in bytes. */
  readonly stride: bigint;
  /** How long becoming ready, or not ready, may take, in milliseconds. */
  readonly readyTimeout: number;
  /** The size of memory pages that the driver chooses, in bytes: the controller's smallest, at least 4096. */
  readonly pageSize: number;
  /** Whether it has the NVM command set: reads and writes. */
  readonly nvm: boolean;
}

/** Reads CAP. */
export function capabilities(registers: Registers): Capabilities {
  const cap = registers.readUint64(CAP);
  const field = (low: number, width: number) => Number((cap >> BigInt(low)) & ((1n << BigInt(width)) - 1n));
  return {
    entries: field(0, 16) + 1,
    stride: 4n << BigInt(field(32, 4)),
    readyTimeout: Math.max(1, field(24, 8)) * 500,
    pageSize: 4096 << field(48, 4),
    nvm: field(37, 1) === 1,
  };
}

/** The value of CC that enables the controller. */
export function enabled({ pageSize }: Capabilities): number {
  return CC_ENABLE | ((Math.log2(pageSize) - 12) << 7) | CC_ENTRY_SIZES;
}

/** The doorbells of a queue pair: the tail of its submission queue, and the head of its completion queue. */
export function doorbells({ stride }: Capabilities, id: number): { tail: bigint; head: bigint } {
  const tail = DOORBELLS + 2n * BigInt(id) * stride;
  return { tail, head: tail + stride };
}
