/** Memory that the controller reaches, and how a command says where data is. */

import type { DmaMemory, Ioas, Iommufd } from "iommufd";
import { NvmeError } from "./errors.ts";

/** Memory, mapped for the controller as one range of IOVAs. `close()` takes it away from the controller, and frees it. */
export class DmaBuffer {
  /** Where the controller finds it. */
  readonly iova: number;
  /** The memory; it may be longer than was asked for, to the end of a page. */
  readonly bytes: Uint8Array;
  readonly #memory: DmaMemory;
  readonly #arena: Arena;

  /** Made by {@link Arena.allocate}. */
  constructor(memory: DmaMemory, arena: Arena, iova: number) {
    this.#memory = memory;
    this.#arena = arena;
    this.iova = iova;
    this.bytes = new Uint8Array(memory.buffer);
  }

  /** Closing twice is harmless. No command may be under way that uses the memory. */
  close(): void {
    this.#arena.free(this, this.#memory);
  }
}

/** All memory that a controller reaches. */
export class Arena {
  readonly #iommufd: Iommufd;
  readonly #ioas: Ioas;
  readonly #buffers = new Set<DmaBuffer>();
  #closed = false;

  constructor(iommufd: Iommufd, ioas: Ioas) {
    this.#iommufd = iommufd;
    this.#ioas = ioas;
  }

  /** How many buffers there are. */
  get size(): number {
    return this.#buffers.size;
  }

  /** @param writable whether the controller may write to it */
  async allocate(length: number, writable: boolean): Promise<DmaBuffer> {
    const { pageSize } = this.#iommufd;
    const memory = this.#iommufd.allocMemory(BigInt(Math.max(1, Math.ceil(length / pageSize)) * pageSize));
    let iova: number;
    try {
      iova = Number(await this.#ioas.map(memory, { writable }));
    } catch (error) {
      memory.close();
      throw error;
    }
    const buffer = new DmaBuffer(memory, this, iova);
    this.#buffers.add(buffer);
    const refuse = (error: NvmeError) => {
      buffer.close();
      return error;
    };
    // The controller may have ended meanwhile.
    if (this.#closed) throw refuse(new NvmeError("ERR_NVME_CLOSED", "the controller is closed"));
    if (Number.isSafeInteger(iova + buffer.bytes.length)) return buffer;
    throw refuse(
      new NvmeError("ERR_NVME_FAILED", `IOVA ${iova}: this driver counts them as numbers, below 2^53`),
    );
  }

  /** For {@link DmaBuffer.close}. */
  free(buffer: DmaBuffer, memory: DmaMemory): void {
    if (!this.#buffers.delete(buffer)) return;
    // An address space that is closed has unmapped everything.
    if (!this.#ioas.closed) this.#ioas.unmapSync(BigInt(buffer.iova), memory.length);
    memory.close();
  }

  close(): void {
    this.#closed = true;
    for (const buffer of [...this.#buffers]) buffer.close();
  }
}

/** Lists of PRP entries: room for one list for each command that can be under way. */
export class PrpLists {
  readonly #pageSize: number;
  readonly #iova: number;
  readonly #words: Uint32Array;
  /** Size of one list, in bytes. */
  readonly #length: number;

  /** How long a list is for data of that length; at most a page, for lists are not chained here. */
  static length(pageSize: number, transfer: number): number {
    // Data that begins in the middle of a page has a page more, and the first one is not in the list.
    return 2 ** Math.ceil(Math.log2(Math.max(1, transfer / pageSize) * 8));
  }

  constructor(pageSize: number, transfer: number, iova: number, bytes: Uint8Array) {
    this.#pageSize = pageSize;
    this.#length = PrpLists.length(pageSize, transfer);
    this.#iova = iova;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }

  /**
   * Writes where data is, as the two PRP entries of a command. The data is one range of IOVAs, so that each page follows
   * from the first.
   *
   * @param entries the command's words, of which those from `at` on are the two entries
   * @param list which list the command may use
   */
  describe(entries: Uint32Array, at: number, list: number, iova: number, length: number): void {
    const second = iova + this.#pageSize - (iova % this.#pageSize);
    const end = iova + length;
    putAddress(entries, at, iova);
    if (end <= second) return;
    if (end <= second + this.#pageSize) {
      putAddress(entries, at + 2, second);
      return;
    }
    let word = (list * this.#length) / 4;
    for (let page = second; page < end; page += this.#pageSize, word += 2)
      putAddress(this.#words, word, page);
    putAddress(entries, at + 2, this.#iova + list * this.#length);
  }
}

/** Two words of an address. Addresses of this driver are below 2^53. */
function putAddress(words: Uint32Array, at: number, address: number): void {
  words[at] = address;
  words[at + 1] = address / 2 ** 32;
}
