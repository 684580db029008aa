import { invalidType } from "../../errors.ts";
import type { BackendMemory } from "../handles.ts";
import type { NativeMemory } from "./addon.ts";
import { check } from "./check.ts";

/** Memory that the kernel can map. */
export class KernelMemory implements BackendMemory {
  readonly native: NativeMemory;
  readonly length: bigint;

  constructor(native: NativeMemory, length: bigint) {
    this.native = native;
    this.length = length;
  }

  buffer(): ArrayBuffer {
    return this.native.buffer();
  }

  fd(): number {
    return check(this.native.fd(), "memfd");
  }

  async prefault(): Promise<void> {
    check(await this.native.prefault(), "madvise");
  }

  prefaultSync(): void {
    check(this.native.prefaultSync(), "madvise");
  }

  close(): void {
    this.native.close();
  }
}

/** What the addon has of a memory. */
export function nativeMemory(memory: BackendMemory): NativeMemory {
  if (memory instanceof KernelMemory) return memory.native;
  throw invalidType("memory", "memory of the kernel backend", memory);
}
