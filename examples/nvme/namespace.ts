/** A namespace: blocks that are read and written. */

import { type Command, FLUSH, READ, WRITE } from "./commands.ts";
import { NvmeError } from "./errors.ts";
import type { NamespaceIdentity } from "./identify.ts";
import type { DmaBuffer } from "./memory.ts";
import type { Done } from "./queue.ts";

/** The most blocks of one command. */
const MOST_BLOCKS = 65_536;

/** How a range is read or written piece by piece. */
export interface StreamOptions {
  /** Blocks of a piece. Default: as many as one command moves. */
  readonly blocks?: number | undefined;
  /** How many pieces are under way at once. Default 8. */
  readonly inFlight?: number | undefined;
}

/** The parts of its controller that a namespace needs. */
export interface Owner {
  /** The most data of one command, in bytes. */
  readonly transfer: number;
  allocate(length: number): Promise<DmaBuffer>;
  submit(command: Command, done: Done): void;
  command(command: Command): Promise<number>;
}

export class Namespace {
  readonly id: number;
  /** Its size in blocks. */
  readonly blocks: number;
  /** Size of a block, in bytes. */
  readonly blockSize: number;
  readonly #controller: Owner;
  /** Blocks of one command. */
  readonly #most: number;

  /** Made by `Controller.namespace()`. */
  constructor(controller: Owner, id: number, { blocks, blockSize, metadata }: NamespaceIdentity) {
    if (blocks === 0) throw new RangeError(`the controller has no namespace ${id}`);
    if (metadata > 0)
      throw new NvmeError("ERR_NVME_FAILED", `namespace ${id} has metadata, which this driver does not move`);
    if (blockSize < 512 || blockSize > controller.transfer)
      throw new NvmeError(
        "ERR_NVME_FAILED",
        `namespace ${id} has blocks of ${blockSize} bytes; this driver moves those of 512 to ${controller.transfer}`,
      );
    if (!Number.isSafeInteger(blocks * blockSize))
      throw new NvmeError("ERR_NVME_FAILED", `namespace ${id} has more than 2^53 bytes`);
    this.#controller = controller;
    this.id = id;
    this.blocks = blocks;
    this.blockSize = blockSize;
    this.#most = Math.min(MOST_BLOCKS, Math.floor(controller.transfer / blockSize));
  }

  /**
   * Reads blocks into a buffer of the controller.
   *
   * Any number of requests can be under way. They are done in any order; the controller does not order a read and a write of
   * the same blocks.
   *
   * @param offset where in the buffer, in bytes: a multiple of 4
   * @throws NvmeError of the first command that failed, when no command uses the buffer any more
   */
  readBlocks(first: number, count: number, buffer: DmaBuffer, offset = 0): Promise<void> {
    return this.#transfer(READ, first, count, buffer, offset);
  }

  /** Writes blocks from a buffer of the controller. Where there is a write cache, they are safe after {@link flush}. */
  writeBlocks(first: number, count: number, buffer: DmaBuffer, offset = 0): Promise<void> {
    return this.#transfer(WRITE, first, count, buffer, offset);
  }

  /** Makes what was written before last: all writes whose promises were fulfilled before this call. */
  async flush(): Promise<void> {
    await this.#controller.command({ opcode: FLUSH, namespace: this.id });
  }

  /**
   * Reads a range, piece by piece and in order. A piece is good until the next one is asked for.
   *
   * @param count Default: to the end of the namespace
   */
  async *read(
    first = 0,
    count = this.blocks - first,
    options: StreamOptions = {},
  ): AsyncGenerator<Uint8Array> {
    this.#check(first, count);
    const { blocks, inFlight, length } = this.#pieces(count, options);
    const buffer = await this.#controller.allocate(inFlight * length);
    const pieces: { promise: Promise<void>; bytes: Uint8Array }[] = [];
    try {
      let asked = 0;
      const ask = () => {
        const size = Math.min(blocks, count - asked);
        if (size === 0) return;
        const at = ((asked / blocks) % inFlight) * length;
        const promise = this.readBlocks(first + asked, size, buffer, at);
        // The reader that gets there sees the error.
        promise.catch(() => {});
        pieces.push({ promise, bytes: buffer.bytes.subarray(at, at + size * this.blockSize) });
        asked += size;
      };
      while (pieces.length < inFlight && asked < count) ask();
      for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
        await piece.promise;
        yield piece.bytes;
        ask();
      }
    } finally {
      await Promise.allSettled(pieces.map(({ promise }) => promise));
      buffer.close();
    }
  }

  /**
   * Writes what comes, from a block on, and flushes it.
   *
   * @returns how many blocks that were
   * @throws RangeError it is more than there is room for, or does not end with a block; the data before it is written
   */
  async write(
    first: number,
    source: AsyncIterable<Uint8Array>,
    options: StreamOptions = {},
  ): Promise<number> {
    const room = this.blocks - first;
    this.#check(first, 0);
    const { blocks, inFlight, length } = this.#pieces(room, options);
    const buffer = await this.#controller.allocate(inFlight * length);
    const writes: Promise<void>[] = new Array(inFlight).fill(Promise.resolve());
    let [written, slot, filled] = [0, 0, 0];
    const writeOut = () => {
      if (filled % this.blockSize !== 0)
        throw new RangeError(
          `the input ends ${filled % this.blockSize} bytes into a block of ${this.blockSize}`,
        );
      const count = filled / this.blockSize;
      if (written + count > room)
        throw new RangeError(`the input has more than the ${room} blocks from block ${first} on`);
      const write = this.writeBlocks(first + written, count, buffer, slot * length);
      write.catch(() => {});
      writes[slot] = write;
      written += count;
      slot = (slot + 1) % inFlight;
      filled = 0;
    };
    try {
      for await (const chunk of source)
        for (let at = 0; at < chunk.length; ) {
          if (filled === 0) await writes[slot];
          const part = chunk.subarray(at, at + length - filled);
          buffer.bytes.set(part, slot * length + filled);
          filled += part.length;
          at += part.length;
          if (filled === blocks * this.blockSize) writeOut();
        }
      if (filled > 0) writeOut();
      await Promise.all(writes);
      await this.flush();
      return written;
    } finally {
      await Promise.allSettled(writes);
      buffer.close();
    }
  }

  #pieces(count: number, { blocks = this.#most, inFlight = 8 }: StreamOptions) {
    for (const [name, value] of Object.entries({ blocks, inFlight }))
      if (!Number.isInteger(value) || value < 1)
        throw new RangeError(`${name} must be 1 or more, received ${value}`);
    const size = Math.max(1, Math.min(blocks, count));
    return { blocks: size, inFlight, length: Math.ceil((size * this.blockSize) / 4096) * 4096 };
  }

  #check(first: number, count: number): void {
    if (!(Number.isSafeInteger(first) && Number.isSafeInteger(count) && first >= 0 && count >= 0))
      throw new RangeError(`first and count must be integers of 0 or more, received ${first} and ${count}`);
    if (first + count > this.blocks)
      throw new RangeError(
        `blocks ${first} to ${first + count - 1} are not all in namespace ${this.id}, which has ${this.blocks}`,
      );
  }

  #transfer(opcode: number, first: number, count: number, buffer: DmaBuffer, offset: number): Promise<void> {
    this.#check(first, count);
    if (!(offset % 4 === 0 && offset >= 0 && offset + count * this.blockSize <= buffer.bytes.length))
      throw new RangeError(
        `${count} blocks of ${this.blockSize} bytes do not fit at offset ${offset} of a buffer of ${buffer.bytes.length}; the offset must be a multiple of 4`,
      );
    if (count === 0) return Promise.resolve();
    const iova = buffer.iova + offset;
    if (count <= this.#most) return this.#command(opcode, first, count, iova);
    const commands: Promise<void>[] = [];
    for (let at = 0; at < count; at += this.#most)
      commands.push(
        this.#command(opcode, first + at, Math.min(this.#most, count - at), iova + at * this.blockSize),
      );
    return allEnded(commands);
  }

  #command(opcode: number, first: number, count: number, iova: number): Promise<void> {
    // Starting LBA, and the number of blocks less one.
    const words = [first >>> 0, Math.floor(first / 2 ** 32), count - 1];
    const data = { iova, length: count * this.blockSize };
    return new Promise((resolve, reject) =>
      this.#controller.submit({ opcode, namespace: this.id, data, words }, (error) =>
        error === undefined ? resolve() : reject(error),
      ),
    );
  }
}

/** Waits until all have ended, well or not, for until then they use memory; then the first failure counts. */
async function allEnded(promises: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(promises))
    if (outcome.status === "rejected") throw outcome.reason;
}
