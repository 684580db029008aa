/**
 * An NVMe controller in memory, for the driver of examples/nvme. It finds commands, lists and data through the software
 * backend's IOMMU, as a real one does through a real one. It can misbehave.
 */

import type { Registers } from "../../../examples/nvme/registers.ts";
import type { Transport } from "../../../examples/nvme/transport.ts";
import { type Device, Iommufd, type SoftwareMachine, softwareMachine } from "../../../lib/index.ts";
import { Vector } from "./vector.ts";

const BDF = "0000:00:01.0";
const PAGE = 4096;

/** How a controller is made. */
export interface FakeOptions {
  /** Disks by namespace id. */
  readonly disks?: Readonly<Record<number, { readonly bytes: Uint8Array; readonly blockSize: number }>>;
  /** CAP.MQES + 1: the most entries of a queue. */
  readonly entries?: number;
  /** CAP.DSTRD */
  readonly stride?: number;
  /** MDTS of its identity. */
  readonly transferExponent?: number;
  /** How many pairs of I/O queues it grants. */
  readonly queues?: number;
  /** How many interrupts it has. */
  readonly interrupts?: number;
}

/** How it mistreats a command: it does nothing, or completes the command with that status. */
export type Misdeed = "drop" | { readonly status: number } | undefined;

/** A command as the controller has fetched it. */
export interface Fetched {
  readonly queue: number;
  readonly opcode: number;
  readonly id: number;
  readonly namespace: number;
  readonly prp1: bigint;
  readonly prp2: bigint;
  readonly words: readonly number[];
}

interface Ring {
  readonly iova: bigint;
  readonly entries: number;
}

interface CompletionQueue extends Ring {
  readonly vector: number | undefined;
  /** As the driver has told it. */
  head: number;
  tail: number;
  phase: number;
}

interface SubmissionQueue extends Ring {
  readonly completions: number;
  head: number;
  tail: number;
  busy: boolean;
}

export class FakeController implements Registers {
  readonly iommufd: Iommufd;
  /** All commands that it has fetched. */
  readonly fetched: Fetched[] = [];
  /** Asked of each command. */
  misdeed: (command: Fetched) => Misdeed = () => undefined;
  /** CSTS.CFS; it works on nothing while that is set, and a reset clears it. */
  fatal = false;
  /** Whether CC.EN = 0 has no effect. */
  stuck = false;
  /** Whether a reset of the function unsticks it. */
  resettable = true;
  /** Whether registers read as all ones. */
  gone = false;
  /** Whether interrupts get lost. */
  silent = false;
  /** How often it was told to shut down, and how often the function was reset. */
  shutdowns = 0;
  functionResets = 0;
  /** Whether its shutdown never completes. */
  sleepless = false;

  readonly #options: Required<FakeOptions>;
  readonly #machine: SoftwareMachine;
  readonly #device: Device;
  readonly #vectors: Vector[] = [];
  readonly #values = new Map<bigint, bigint>();
  #completionQueues = new Map<number, CompletionQueue>();
  #submissionQueues = new Map<number, SubmissionQueue>();
  #ready = false;
  /** Counts resets: what was begun before one must not go on after it. */
  #generation = 0;

  constructor(options: FakeOptions = {}) {
    const disk = { bytes: new Uint8Array(1 << 20), blockSize: 512 };
    this.#options = {
      ...{ disks: { 1: disk }, entries: 64, stride: 0, transferExponent: 5, queues: 2, interrupts: 3 },
      ...options,
    };
    this.#machine = softwareMachine("qemu-vtd");
    this.iommufd = Iommufd.open(this.#machine);
    this.#device = this.iommufd.openDevice(BDF);
  }

  /** The transport that the driver gets. */
  transport(): Transport {
    const ioas = this.iommufd.allocIoas();
    this.#device.attachSync(ioas);
    return {
      registers: this,
      iommufd: this.iommufd,
      ioas,
      interrupts: this.#options.interrupts,
      enableInterrupts: (count) => {
        while (this.#vectors.length < count) this.#vectors.push(new Vector());
        return this.#vectors;
      },
      reset: () => {
        this.functionResets++;
        if (!this.resettable) throw new Error("EINVAL: it cannot be reset");
        this.stuck = false;
        this.#disable();
      },
      block: () => this.#device.detach(),
      close: () => {
        for (const vector of this.#vectors) vector.close();
        this.iommufd.close();
      },
    };
  }

  readUint32(offset: bigint): number {
    if (this.gone) return 0xffff_ffff;
    if (offset !== 0x1cn) return Number(this.#values.get(offset) ?? 0n);
    const configuration = Number(this.#values.get(0x14n) ?? 0n);
    const ready = this.#ready || this.stuck ? 1 : 0;
    const shutdown = configuration & (1 << 14) && !this.sleepless ? 2 << 2 : 0;
    return ready | (this.fatal ? 2 : 0) | shutdown;
  }

  readUint64(offset: bigint): bigint {
    if (offset !== 0n) return this.#values.get(offset) ?? 0n;
    const { entries, stride } = this.#options;
    // MQES, TO (500 ms), DSTRD, CSS.
    return BigInt(entries - 1) | (1n << 24n) | (BigInt(stride) << 32n) | (1n << 37n);
  }

  writeUint64(offset: bigint, value: bigint): void {
    this.#values.set(offset, value);
  }

  writeUint32(offset: bigint, value: number): void {
    const before = Number(this.#values.get(offset) ?? 0n);
    this.#values.set(offset, BigInt(value));
    if (offset === 0x14n) this.#configure(before, value);
    else if (offset >= 0x1000n) this.#doorbell(Number(offset - 0x1000n) / (4 << this.#options.stride), value);
  }

  /** Completes a command, asked for or not. */
  async complete(queue: number, id: number, status: number): Promise<void> {
    await this.#complete(queue, { id, head: 0, status, result: 0 });
  }

  #configure(before: number, value: number): void {
    if (!(before & (1 << 14)) && value & (1 << 14)) this.shutdowns++;
    if (!(value & 1) && !this.stuck) this.#disable();
    if (before & 1 || !(value & 1)) return;
    const [sizes, submission, completion] = [0x24n, 0x28n, 0x30n].map((at) => this.#values.get(at) ?? 0n) as [
      bigint,
      bigint,
      bigint,
    ];
    const entries = Number(sizes & 0xfffn) + 1;
    // Enabling takes a moment, and doorbells must not be rung before.
    const generation = this.#generation;
    setTimeout(() => {
      this.#ready = generation === this.#generation;
    }, 2);
    this.#completionQueues.set(0, { iova: completion, entries, vector: 0, head: 0, tail: 0, phase: 1 });
    this.#submissionQueues.set(0, {
      iova: submission,
      entries,
      completions: 0,
      head: 0,
      tail: 0,
      busy: false,
    });
  }

  #disable(): void {
    this.#values.set(0x14n, 0n);
    this.fatal = false;
    this.#ready = false;
    this.#generation++;
    this.#completionQueues = new Map();
    this.#submissionQueues = new Map();
  }

  #doorbell(index: number, value: number): void {
    const id = index >> 1;
    if (index % 2 === 1) {
      const completions = this.#completionQueues.get(id);
      if (!this.#ready || completions === undefined || value >= completions.entries)
        throw new Error(`doorbell ${index}: ${value}`);
      completions.head = value;
      return;
    }
    const queue = this.#submissionQueues.get(id);
    if (!this.#ready || queue === undefined || value >= queue.entries)
      throw new Error(`doorbell ${index}: ${value}`);
    queue.tail = value;
    if (!queue.busy) void this.#work(id, queue);
  }

  /** Fetches commands in order, and has several under way, so that they are done in any order. */
  async #work(id: number, queue: SubmissionQueue): Promise<void> {
    const generation = this.#generation;
    queue.busy = true;
    while (queue.head !== queue.tail && !this.fatal && generation === this.#generation) {
      const bytes = await this.#machine.dmaRead(BDF, queue.iova + BigInt(queue.head * 64), 64);
      queue.head = (queue.head + 1) % queue.entries;
      const words = new DataView(bytes.buffer, bytes.byteOffset);
      const command: Fetched = {
        queue: id,
        opcode: words.getUint8(0),
        id: words.getUint16(2, true),
        namespace: words.getUint32(4, true),
        prp1: words.getBigUint64(24, true),
        prp2: words.getBigUint64(32, true),
        words: [10, 11, 12].map((word) => words.getUint32(word * 4, true)),
      };
      this.fetched.push(command);
      const head = queue.head;
      void this.#execute(command).then(async (outcome) => {
        if (outcome !== undefined && generation === this.#generation)
          await this.#complete(queue.completions, { id: command.id, head, ...outcome });
      });
    }
    queue.busy = false;
  }

  async #complete(
    id: number,
    completion: { id: number; head: number; status: number; result: number },
  ): Promise<void> {
    const queue = this.#completionQueues.get(id);
    const generation = this.#generation;
    const isFull = () => queue !== undefined && (queue.tail + 1) % queue.entries === queue.head;
    while (isFull() && generation === this.#generation) await new Promise((resolve) => setImmediate(resolve));
    if (queue === undefined || this.fatal || generation !== this.#generation) return;
    const bytes = new Uint8Array(16);
    const words = new DataView(bytes.buffer);
    words.setUint32(0, completion.result, true);
    words.setUint16(8, completion.head, true);
    words.setUint16(12, completion.id, true);
    words.setUint16(14, (completion.status << 1) | queue.phase, true);
    const at = queue.iova + BigInt(queue.tail * 16);
    if (++queue.tail === queue.entries) [queue.tail, queue.phase] = [0, queue.phase ^ 1];
    await this.#machine.dmaWrite(BDF, at, bytes);
    if (queue.vector !== undefined && !this.silent) this.#vectors[queue.vector]?.raise();
  }

  /** Does a command. Its status and Dword 0, or nothing where it is not to be completed. */
  async #execute(command: Fetched): Promise<{ status: number; result: number } | undefined> {
    // After others that came later, now and then.
    for (let turns = command.id % 3; turns > 0; turns--)
      await new Promise((resolve) => setImmediate(resolve));
    const misdeed = this.misdeed(command);
    if (misdeed === "drop") return undefined;
    if (misdeed !== undefined) return { ...misdeed, result: 0 };
    try {
      const result = await (command.queue === 0 ? this.#admin(command) : this.#io(command));
      return typeof result === "number" ? { status: 0, result } : { ...result, result: 0 };
    } catch {
      return { status: 0x04, result: 0 }; // Data Transfer Error: the IOMMU stopped it
    }
  }

  async #admin(command: Fetched): Promise<number | { status: number }> {
    const [first = 0, second = 0] = command.words;
    const ring = { iova: command.prp1, entries: (first >>> 16) + 1 };
    const id = first & 0xffff;
    switch (command.opcode) {
      case 0x01:
        this.#submissionQueues.set(id, {
          ...ring,
          completions: second >>> 16,
          head: 0,
          tail: 0,
          busy: false,
        });
        return 0;
      case 0x05: {
        const vector = second & 2 ? second >>> 16 : undefined;
        this.#completionQueues.set(id, { ...ring, vector, head: 0, tail: 0, phase: 1 });
        return 0;
      }
      case 0x06:
        return this.#identify(command, first & 0xff);
      case 0x08:
        return 1; // not aborted
      case 0x09: {
        const granted = this.#options.queues - 1;
        return granted | (granted << 16);
      }
      default:
        return { status: 0x01 };
    }
  }

  async #identify(command: Fetched, structure: number): Promise<number | { status: number }> {
    const bytes = new Uint8Array(PAGE);
    const words = new DataView(bytes.buffer);
    const disk = this.#options.disks[command.namespace];
    if (structure === 1) {
      bytes.set(Buffer.from("fake-0001           Controller in memory"), 4);
      bytes[77] = this.#options.transferExponent;
      bytes[525] = 1;
    } else if (structure === 2)
      Object.keys(this.#options.disks).forEach((id, index) => {
        words.setUint32(index * 4, Number(id), true);
      });
    else if (disk !== undefined) {
      words.setBigUint64(0, BigInt(disk.bytes.length / disk.blockSize), true);
      // The format is number 1, so that a driver that reads number 0 is wrong.
      bytes[26] = 1;
      bytes[128 + 4 + 2] = Math.log2(disk.blockSize);
    }
    await this.#move(command, bytes, "to memory");
    return 0;
  }

  async #io(command: Fetched): Promise<number | { status: number }> {
    if (command.opcode === 0) return 0;
    const disk = this.#options.disks[command.namespace];
    if (disk === undefined) return { status: 0x0b };
    const [low = 0, high = 0, count = 0] = command.words;
    const start = (high * 2 ** 32 + low) * disk.blockSize;
    const length = ((count & 0xffff) + 1) * disk.blockSize;
    if (start + length > disk.bytes.length) return { status: 0x80 };
    const most = PAGE * 2 ** this.#options.transferExponent;
    if (this.#options.transferExponent > 0 && length > most) return { status: 0x02 };
    const bytes = disk.bytes.subarray(start, start + length);
    await this.#move(command, bytes, command.opcode === 2 ? "to memory" : "from memory");
    return 0;
  }

  /** Moves data, page by page, as PRP entries and lists say. */
  async #move(command: Fetched, bytes: Uint8Array, direction: "to memory" | "from memory"): Promise<void> {
    const first = PAGE - Number(command.prp1 % BigInt(PAGE));
    const pages = [command.prp1];
    const rest = Math.ceil((bytes.length - first) / PAGE);
    if (rest === 1) pages.push(command.prp2);
    else if (rest > 1) {
      if (Number(command.prp2 % BigInt(PAGE)) + rest * 8 > PAGE) throw new Error("the list crosses a page");
      const list = await this.#machine.dmaRead(BDF, command.prp2, rest * 8);
      const entries = new DataView(list.buffer, list.byteOffset);
      for (let at = 0; at < rest * 8; at += 8) pages.push(entries.getBigUint64(at, true));
    }
    for (let at = 0, page = 0; at < bytes.length; page++) {
      const iova = pages[page] as bigint;
      if (page > 0 && iova % BigInt(PAGE) !== 0n) throw new Error("a page in the middle of one");
      const part = bytes.subarray(at, at + (page === 0 ? first : PAGE));
      if (direction === "to memory") await this.#machine.dmaWrite(BDF, iova, part.slice());
      else part.set(await this.#machine.dmaRead(BDF, iova, part.length));
      at += part.length;
    }
  }
}
