import { type ByteCount, knownOptions } from "../arguments.ts";
import type { BackendMemory } from "../backend/handles.ts";
import { IommufdError } from "../errors.ts";
import { Resource } from "./resource.ts";

/** Which memory. */
export interface MemoryOptions {
  /**
   * A memfd (the default), which can be handed to another program and mapped by {@link Ioas.mapFile}, or anonymous memory,
   * which cannot.
   */
  backing?: "memfd" | "anonymous" | undefined;
  /**
   * Size of its pages in bytes: 4096 (the default, on x86), or of huge pages 2 MiB or 1 GiB. Huge pages are fast to pin
   * and to translate, and contiguous; the machine has to set them aside.
   */
  pageSize?: ByteCount | undefined;
}

/** @internal */
export const MEMORY_OPTIONS = knownOptions<MemoryOptions>({ backing: "other", pageSize: "other" });

/**
 * Page-aligned memory that can be mapped into an {@link Ioas}.
 *
 * While it is mapped it cannot be closed, and the Ioas keeps it alive. So a device never writes to memory that the
 * program believes is gone. Make one with {@link Iommufd.allocMemory}.
 */
export class DmaMemory extends Resource {
  /** In bytes, a multiple of the page size. */
  readonly length: bigint;
  /** Size of its pages, in bytes. */
  readonly pageSize: bigint;
  readonly #memory: BackendMemory;
  #mappings = 0;

  /** @internal */
  constructor(memory: BackendMemory, length: bigint, pageSize: bigint) {
    super();
    this.#memory = memory;
    this.length = length;
    this.pageSize = pageSize;
  }

  /**
   * The memory as the device sees it. The same ArrayBuffer each time; close() detaches it.
   *
   * @throws RangeError ERR_OUT_OF_RANGE: longer than an ArrayBuffer can be (4 GiB)
   */
  get buffer(): ArrayBuffer {
    this.assertOpen();
    return this.#memory.buffer();
  }

  /**
   * The memory as a file descriptor (memfd), to hand to another program. It stays this object's to close.
   *
   * @throws SystemError EBADF: it is anonymous
   * @throws IommufdError ERR_IOMMUFD_NO_KERNEL_BACKEND: this is memory of the software backend
   */
  get fd(): number {
    this.assertOpen();
    return this.#memory.fd();
  }

  /**
   * Puts a page behind every address, off the event loop. Otherwise that is done when an address is first used, by the
   * program or by mapping it, so that a lack of memory shows only then.
   *
   * @throws SystemError of `madvise`: ENOMEM: there is not so much
   */
  async prefault(): Promise<void> {
    this.assertOpen();
    await this.#memory.prefault();
  }

  /** {@link prefault}, on this thread. */
  prefaultSync(): void {
    this.assertOpen();
    this.#memory.prefaultSync();
  }

  /** How many mappings refer to it. */
  get mappings(): number {
    return this.#mappings;
  }

  /** @internal */
  get backendMemory(): BackendMemory {
    this.assertOpen();
    return this.#memory;
  }

  /** @internal */
  retain(mappings = 1): void {
    this.#mappings += mappings;
  }

  /** @internal */
  unretain(mappings = 1): void {
    this.#mappings -= mappings;
  }

  protected override release(): void {
    if (this.#mappings > 0) {
      throw new IommufdError(
        "ERR_IOMMUFD_MEMORY_IN_USE",
        `this DmaMemory is mapped ${this.#mappings} time${this.#mappings === 1 ? "" : "s"}; unmap it before closing it`,
      );
    }
    this.#memory.close();
  }
}
