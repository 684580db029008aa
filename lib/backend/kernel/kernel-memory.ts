import { invalidType } from "../../errors.ts";
import type { BackendMemory } from "../handles.ts";
import type { NativeMemory, NativeMemoryToken } from "./addon.ts";
import { check } from "./check.ts";

/** Memory that the kernel can map. */
export class KernelMemory implements BackendMemory {
  readonly native: NativeMemory;
  readonly token: NativeMemoryToken;
  readonly length: bigint;

  constructor(native: NativeMemory, length: bigint) {
    this.native = native;
    this.token = native.token();
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

/** The argument that the addon takes for a memory. */
export function nativeMemory(memory: BackendMemory): NativeMemoryToken {
  if (memory instanceof KernelMemory) return memory.token;
  throw invalidType("memory", "memory of the kernel backend", memory);
}
