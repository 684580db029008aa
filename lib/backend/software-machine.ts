/** A modelled machine, and what a test can do to it. */

import type { LinuxErrorCode } from "../errors.ts";
import type { Backend } from "./backend.ts";
import { Failures } from "./failures.ts";
import type { Syscall } from "./ioctl.ts";
import type { DmaOptions, SoftwareBackend } from "./software/software-backend.ts";
import { wrap } from "./wrapper.ts";

/** Its devices do DMA, its calls fail. Made by {@link softwareMachine}. */
export class SoftwareMachine {
  /** To open iommufds on, {@link Iommufd.open}. */
  readonly backend: Backend;
  /** Why it answers, and not the kernel. */
  readonly reason: string;
  readonly #model: SoftwareBackend;
  readonly #failures = new Failures();

  /** @internal */
  constructor(model: SoftwareBackend, reason: string) {
    this.#model = model;
    this.backend = wrap(model, this.#failures);
    this.reason = reason;
  }

  /**
   * Lets a device read from memory.
   *
   * @param bdf its PCI address in full
   * @throws DmaFault ERR_IOMMUFD_DMA_FAULT: its IOMMU stops it; the data read so far is lost
   */
  dmaRead(bdf: string, iova: bigint, length: number, options: DmaOptions = {}): Promise<Uint8Array> {
    return this.#model.dmaRead(bdf, iova, length, options);
  }

  /**
   * Lets a device write to memory.
   *
   * @param bdf its PCI address in full
   * @throws DmaFault ERR_IOMMUFD_DMA_FAULT: its IOMMU stops it; the data written so far stays
   */
  dmaWrite(bdf: string, iova: bigint, bytes: Uint8Array, options: DmaOptions = {}): Promise<void> {
    return this.#model.dmaWrite(bdf, iova, bytes, options);
  }

  /**
   * Makes the next call of an ioctl fail, to see what a program makes of it: `failNext("IOMMU_IOAS_MAP", "ENOMEM")`. It
   * does nothing else.
   *
   * @throws RangeError ERR_OUT_OF_RANGE: there is no call, or no error, of that name
   */
  failNext(syscall: Syscall, code: LinuxErrorCode): void {
    this.#failures.failNext(syscall, code);
  }

  /** Makes each n-th call of an ioctl fail, from now on. Throws as {@link failNext} does. */
  failEvery(syscall: Syscall, every: number, code: LinuxErrorCode): void {
    this.#failures.failEvery(syscall, every, code);
  }

  /** Takes back what was to fail. */
  clearFailures(): void {
    this.#failures.clear();
  }

  /** How much memory is pinned, in bytes. */
  get pinned(): bigint {
    return this.#model.pinned;
  }
}
