import type { BackendRegion } from "../handles.ts";

/** Memory that stands for registers. */
export class SoftwareRegion implements BackendRegion {
  readonly #buffer: ArrayBuffer;
  readonly #registers: DataView;

  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
    this.#registers = new DataView(buffer);
  }

  buffer(): ArrayBuffer {
    return this.#buffer;
  }

  readUint32(offset: bigint): number {
    return this.#registers.getUint32(Number(offset), true);
  }

  readUint64(offset: bigint): bigint {
    return this.#registers.getBigUint64(Number(offset), true);
  }

  writeUint32(offset: bigint, value: number): void {
    this.#registers.setUint32(Number(offset), value, true);
  }

  writeUint64(offset: bigint, value: bigint): void {
    this.#registers.setBigUint64(Number(offset), value, true);
  }

  close(): void {}
}
