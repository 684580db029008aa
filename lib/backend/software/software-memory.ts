/**
 * Memory of the model: an ordinary ArrayBuffer with a made-up virtual address.
 */

import { IommufdError } from "../../errors.ts";
import type { BackendMemory } from "../handles.ts";
import { noDescriptors } from "./refusal.ts";

/** Memory that the model can map. */
export class SoftwareMemory implements BackendMemory {
  /** Where the memory seems to be; its alignment guides where the model places a mapping. */
  readonly address: bigint;
  /** Whether it is memory other than a file. */
  readonly anonymous: boolean;
  #buffer: ArrayBuffer | undefined;
  readonly length: bigint;
  #closed = false;

  constructor(address: bigint, length: bigint, anonymous = false) {
    this.address = address;
    this.length = length;
    this.anonymous = anonymous;
  }

  buffer(): ArrayBuffer {
    if (this.#closed) throw new IommufdError("ERR_IOMMUFD_CLOSED", "the memory is closed");
    // Made when it is first looked at, so that a plan for a large guest needs no large machine.
    this.#buffer ??= new ArrayBuffer(Number(this.length));
    return this.#buffer;
  }

  fd(): number {
    throw noDescriptors();
  }

  async prefault(): Promise<void> {
    this.prefaultSync();
  }

  prefaultSync(): void {
    this.buffer();
  }

  close(): void {
    this.#closed = true;
    if (this.#buffer !== undefined) structuredClone(this.#buffer, { transfer: [this.#buffer] }); // detaches it
    this.#buffer = undefined;
  }
}
