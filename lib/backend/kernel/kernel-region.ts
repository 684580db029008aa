import type { BackendRegion } from "../handles.ts";
import type { NativeRegion } from "./addon.ts";
import { check } from "./check.ts";

/** Part of a device, or of a vIOMMU, that the kernel has mapped into the process. */
export class KernelRegion implements BackendRegion {
  readonly #native: Omit<NativeRegion, "bound">;

  constructor(native: NativeRegion) {
    this.#native = native.bound();
  }

  buffer(): ArrayBuffer {
    return this.#native.buffer();
  }

  readUint32(offset: bigint): number {
    return this.#native.readUint32(offset);
  }

  readUint64(offset: bigint): bigint {
    return this.#native.readUint64(offset);
  }

  writeUint32(offset: bigint, value: number): void {
    check(this.#native.writeUint32(offset, value), "mmap", { offset });
  }

  writeUint64(offset: bigint, value: bigint): void {
    check(this.#native.writeUint64(offset, value), "mmap", { offset });
  }

  close(): void {
    this.#native.close();
  }
}
