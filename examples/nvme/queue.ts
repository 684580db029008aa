/**
 * A queue pair: commands go in at one ring, completions come out at another (NVM Express Base Specification 2.0, sections
 * 3.3.1 and 4.2).
 */

import process from "node:process";
import {
  COMMAND_BYTES,
  COMMAND_WORDS,
  COMPLETION_BYTES,
  type Command,
  encode,
  nameOf,
  PRP_WORD,
} from "./commands.ts";
import { NvmeError, statusError } from "./errors.ts";
import { PrpLists } from "./memory.ts";
import type { Registers } from "./registers.ts";

/** Called when a command is done: with an error, or with Dword 0 of its completion. */
export type Done = (error: NvmeError | undefined, result: number) => void;

interface Request {
  readonly command: Command;
  readonly done: Done;
  /** The tick at which the controller got it, or was asked to abort it. */
  since: number;
  aborted: boolean;
}

/** The parts of a queue pair. */
export interface QueueParts {
  readonly id: number;
  /** Entries of each ring. */
  readonly depth: number;
  /** Memory of the submission queue and, behind it, of PRP lists: the controller only reads it. */
  readonly commands: { readonly iova: number; readonly bytes: Uint8Array };
  /** Memory of the completion queue. */
  readonly completions: { readonly iova: number; readonly bytes: Uint8Array };
  readonly pageSize: number;
  /** The most data of one command, in bytes. */
  readonly transfer: number;
  readonly registers: Registers;
  readonly doorbells: { readonly tail: bigint; readonly head: bigint };
  /** Whether its completions are found without interrupts. */
  readonly polling: boolean;
  /** Called when it has something to wait for, and had nothing before. */
  readonly busy: () => void;
  /** Called when the controller completes what nobody asked for. */
  readonly confused: (problem: string) => void;
}

/** How much memory the two parts of a queue pair take, in bytes. */
export function queueLengths(depth: number, pageSize: number, transfer: number) {
  const lists = alignToPage(depth * COMMAND_BYTES, pageSize);
  return {
    lists,
    commands: lists + depth * PrpLists.length(pageSize, transfer),
    completions: depth * COMPLETION_BYTES,
  };
}

const alignToPage = (length: number, pageSize: number) => Math.ceil(length / pageSize) * pageSize;

export class QueuePair {
  readonly id: number;
  readonly depth: number;
  /** Where the controller finds the rings. */
  readonly submissionIova: number;
  readonly completionIova: number;
  readonly #registers: Registers;
  readonly #doorbells: QueueParts["doorbells"];
  readonly #busy: () => void;
  readonly #confused: (problem: string) => void;
  readonly #commands: Uint32Array;
  readonly #completions: Uint32Array;
  readonly #lists: PrpLists;
  /** By command identifier. There is one less than entries: a ring that is full has one entry free. */
  readonly #requests: (Request | undefined)[];
  readonly #freeIds: number[] = [];
  /** Commands that found no free identifier. */
  #waiting: Request[] = [];
  #tail = 0;
  #head = 0;
  #phase = 1;
  /** Completions that were taken, and the controller has not been told of. */
  #untold = 0;
  readonly #tellEvery: number;
  #ringing = false;
  #stopped = true;
  /** Time, as the controller's watch counts it. */
  tick = 0;

  constructor(parts: QueueParts) {
    this.id = parts.id;
    this.depth = parts.depth;
    this.submissionIova = parts.commands.iova;
    this.completionIova = parts.completions.iova;
    this.#registers = parts.registers;
    this.#doorbells = parts.doorbells;
    this.#busy = parts.busy;
    this.#confused = parts.confused;
    // With no interrupts to come, the controller needs no more than to know in time that there is room.
    this.#tellEvery = parts.polling ? Math.max(1, parts.depth >> 2) : 1;
    const { lists } = queueLengths(parts.depth, parts.pageSize, parts.transfer);
    const { buffer, byteOffset } = parts.commands.bytes;
    this.#commands = new Uint32Array(buffer, byteOffset, parts.depth * COMMAND_WORDS);
    const completions = parts.completions.bytes;
    this.#completions = new Uint32Array(completions.buffer, completions.byteOffset, parts.depth * 4);
    const listBytes = parts.commands.bytes.subarray(lists);
    this.#lists = new PrpLists(parts.pageSize, parts.transfer, parts.commands.iova + lists, listBytes);
    this.#requests = new Array(parts.depth - 1).fill(undefined);
  }

  /** How many commands the controller has. */
  get inFlight(): number {
    return this.#stopped ? 0 : this.#requests.length - this.#freeIds.length;
  }

  /** Whether a command would go to the controller at once. */
  get hasRoom(): boolean {
    return this.#freeIds.length > 0;
  }

  /** Whether nothing is under way and nothing waits. */
  get idle(): boolean {
    return this.inFlight === 0 && this.#waiting.length === 0;
  }

  /** Begins anew, as the controller does with a queue that is made. All commands of the controller must have ended. */
  clear(): void {
    this.#completions.fill(0);
    [this.#tail, this.#head, this.#phase, this.#untold] = [0, 0, 1, 0];
  }

  /** Takes commands to the controller, which must know the queue: first those that wait. */
  start(): void {
    this.#freeIds.length = 0;
    for (let id = this.#requests.length - 1; id >= 0; id--) this.#freeIds.push(id);
    this.#stopped = false;
    this.#admit();
  }

  /** Takes no more commands to the controller. */
  stop(): void {
    this.#stopped = true;
    this.#freeIds.length = 0;
  }

  /** Ends all that the controller had. It must not do DMA for them any more. */
  abandon(error: NvmeError): void {
    const requests = this.#requests.filter((request) => request !== undefined);
    this.#requests.fill(undefined);
    for (const request of requests) request.done(this.#errorOf(request, error), 0);
  }

  /** Ends all that waits to go to the controller. */
  refuse(error: NvmeError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) request.done(this.#errorOf(request, error), 0);
  }

  /** Hands a command to the controller, now or as soon as one of its identifiers is free. */
  submit(command: Command, done: Done): void {
    const request: Request = { command, done, since: this.tick, aborted: false };
    if (this.#freeIds.length === 0 || this.#waiting.length > 0) this.#waiting.push(request);
    else this.#put(request);
  }

  /** Takes what the controller has completed. Returns how many commands that were. */
  poll(): number {
    if (this.#stopped) return 0;
    let count = 0;
    for (;;) {
      const at = this.#head * 4;
      // An acquiring load: nothing that is read after it, data of the command too, is read before it.
      const last = Atomics.load(this.#completions, at + 3);
      if (((last >>> 16) & 1) !== this.#phase) break;
      const result = this.#completions[at] as number;
      if (++this.#head === this.depth) {
        this.#head = 0;
        this.#phase ^= 1;
      }
      count++;
      this.#complete(last & 0xffff, last >>> 17, result);
      if (this.#stopped) return count;
    }
    if (count === 0) return 0;
    this.#untold += count;
    if (this.#untold >= this.#tellEvery) {
      this.#untold = 0;
      this.#registers.writeUint32(this.#doorbells.head, this.#head);
    }
    this.#admit();
    return count;
  }

  /** The one that the controller has had for longest, if that is so many ticks. One that was aborted comes first. */
  overdue(
    ticks: number,
  ): { readonly id: number; readonly what: string; readonly aborted: boolean } | undefined {
    let oldest: { id: number; request: Request } | undefined;
    this.#requests.forEach((request, id) => {
      if (request === undefined || this.tick - request.since < ticks) return;
      if (oldest === undefined || request.aborted || request.since < oldest.request.since)
        oldest = { id, request };
    });
    if (oldest === undefined) return undefined;
    const { id, request } = oldest;
    return { id, what: this.#nameOf(request), aborted: request.aborted };
  }

  /** Notes that the controller was asked to abort a command. */
  markAborted(id: number): void {
    const request = this.#requests[id];
    if (request === undefined) return;
    request.aborted = true;
    request.since = this.tick;
  }

  #put(request: Request): void {
    const id = this.#freeIds.pop() as number;
    if (this.inFlight === 1) this.#busy();
    request.since = this.tick;
    this.#requests[id] = request;
    const { data } = request.command;
    encode(this.#commands, this.#tail, id, request.command);
    if (data !== undefined)
      this.#lists.describe(this.#commands, this.#tail * COMMAND_WORDS + PRP_WORD, id, data.iova, data.length);
    if (++this.#tail === this.depth) this.#tail = 0;
    // One doorbell for all that the program submits before it lets go of the thread.
    if (this.#ringing) return;
    this.#ringing = true;
    process.nextTick(() => {
      this.#ringing = false;
      if (!this.#stopped) this.#registers.writeUint32(this.#doorbells.tail, this.#tail);
    });
  }

  #admit(): void {
    let admitted = 0;
    while (admitted < this.#waiting.length && this.#freeIds.length > 0)
      this.#put(this.#waiting[admitted++] as Request);
    if (admitted > 0) this.#waiting.splice(0, admitted);
  }

  #complete(id: number, status: number, result: number): void {
    const request = this.#requests[id];
    if (request === undefined) {
      this.#confused(`the controller completed command ${id} of queue ${this.id}, which was not under way`);
      return;
    }
    this.#requests[id] = undefined;
    this.#freeIds.push(id);
    // Without the bits that say whether more is to be had, and whether to try again.
    const bits = status & 0x7ff;
    request.done(bits === 0 ? undefined : statusError(this.#nameOf(request), bits), result);
  }

  #nameOf({ command }: Request): string {
    return nameOf(command, this.id === 0);
  }

  #errorOf(request: Request, { code, message }: NvmeError): NvmeError {
    return new NvmeError(code, `${this.#nameOf(request)}: ${message}`);
  }
}
