/** Commands, and how they are written into a submission queue (NVM Express Base Specification 2.0, figure 87). */

/** Opcodes of the admin queue. */
export const CREATE_SUBMISSION_QUEUE = 0x01;
export const CREATE_COMPLETION_QUEUE = 0x05;
export const IDENTIFY = 0x06;
export const ABORT = 0x08;
export const SET_FEATURES = 0x09;
/** Opcodes of an I/O queue. */
export const FLUSH = 0x00;
export const WRITE = 0x01;
export const READ = 0x02;

/** Feature of SET_FEATURES: how many queues. */
export const NUMBER_OF_QUEUES = 0x07;

/** 32-bit words of a command. */
export const COMMAND_WORDS = 16;
/** Bytes of a command, and of a completion. */
export const COMMAND_BYTES = 64;
export const COMPLETION_BYTES = 16;

/** First of the words that say where data is: two PRP entries, of two words each. */
export const PRP_WORD = 6;

/** A command. */
export interface Command {
  readonly opcode: number;
  readonly namespace?: number | undefined;
  /** Where its data is, or the queue that it makes: a range of IOVAs. */
  readonly data?: { readonly iova: number; readonly length: number } | undefined;
  /** Command Dwords 10 and on. */
  readonly words?: readonly number[] | undefined;
}

const NAMES: Readonly<Record<number, string>> = {
  [CREATE_SUBMISSION_QUEUE]: "making a submission queue",
  [CREATE_COMPLETION_QUEUE]: "making a completion queue",
  [IDENTIFY]: "identifying",
  [ABORT]: "aborting a command",
  [SET_FEATURES]: "setting a feature",
};

/** The name of a command, for messages. */
export function nameOf({ opcode, namespace, words = [] }: Command, admin: boolean): string {
  if (admin) return NAMES[opcode] ?? `admin command 0x${opcode.toString(16)}`;
  if (opcode === FLUSH) return `flush of namespace ${namespace}`;
  if (opcode !== READ && opcode !== WRITE) return `I/O command 0x${opcode.toString(16)}`;
  const [low = 0, high = 0, count = 0] = words;
  const first = high * 2 ** 32 + low;
  const last = first + (count & 0xffff);
  return `${opcode === READ ? "read" : "write"} of blocks ${first} to ${last} of namespace ${namespace}`;
}

/** Writes a command into the slot of a submission queue, all but where its data is. */
export function encode(queue: Uint32Array, slot: number, id: number, command: Command): void {
  const at = slot * COMMAND_WORDS;
  for (let word = 1; word < COMMAND_WORDS; word++) queue[at + word] = 0;
  queue[at] = command.opcode | (id << 16);
  queue[at + 1] = command.namespace ?? 0;
  command.words?.forEach((value, word) => {
    queue[at + 10 + word] = value;
  });
}
