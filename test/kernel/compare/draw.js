// Random values of one number: the same number gives the same values.

import { KernelBackend } from "../../../dist/backend/kernel/kernel-backend.js";
import { Random } from "../../random.js";

const U64_MAX = (1n << 64n) - 1n;
/** The page size of this machine. */
export const PAGE = BigInt(new KernelBackend().pageSize);
/** How much memory there is to map. */
export const MEMORY_LENGTH = 64n * PAGE;
/** Values near which something happens. */
const EDGES = [
  0n,
  PAGE,
  2n * PAGE,
  0x10_000n,
  0x800_0000n,
  0xfee0_0000n,
  0xfef0_0000n,
  1n << 21n,
  1n << 30n,
  1n << 39n,
  1n << 48n,
  1n << 63n,
  U64_MAX,
];

export class Draw extends Random {
  /** One of them. @param {...any} values */
  of(...values) {
    return this.pick(values);
  }

  /** So many pages at most, in bytes. @param {number} most */
  pages(most) {
    return BigInt(this.below(most + 1)) * PAGE;
  }

  /** An address near an edge. */
  near() {
    const offset = this.of(0n, 0n, 0n, 1n, -1n, PAGE, -PAGE, PAGE / 2n);
    return BigInt.asUintN(64, this.of(...EDGES) + offset);
  }

  iova() {
    const kind = this.below(9);
    if (kind < 6) return this.pages(40);
    return kind < 8 ? this.near() : BigInt(this.below(32 * Number(PAGE)));
  }

  length() {
    const kind = this.below(8);
    if (kind < 6) return this.pages(16);
    return kind < 7 ? this.near() : BigInt(this.below(4 * Number(PAGE)));
  }

  /** The id of an object, most likely one that is there. */
  id() {
    return this.below(20) > 0 ? 1 + this.below(10) : this.of(0, 99, 0xffff_ffff);
  }

  /** Flags, most of which are known. @param {number} known */
  flags(known) {
    return this.below(9) > 0 ? this.below(known + 1) : this.of(known + 1, 0x8000_0000);
  }

  /** A part of the memory. */
  part() {
    const offset = this.pages(48) + this.of(0n, 0n, 0n, 1n, 2048n);
    const wanted = this.length();
    return { offset, length: wanted < MEMORY_LENGTH - offset ? wanted : MEMORY_LENGTH - offset };
  }

  /** A PASID; most calls are about none. */
  pasid() {
    return this.of(undefined, undefined, undefined, 7, 7, 8, 0, 1 << 20, 2 ** 31);
  }

  /** A guest's page table, as VT-d and SMMUv3 have them, or not quite. */
  guest() {
    if (this.below(3) === 0) return undefined;
    if (this.below(3) === 0) {
      // A stream table entry: not valid, one that stops everything, one that lets everything pass, and ones with a table of contexts.
      const words = BigUint64Array.of(this.of(0n, 1n, 9n, 11n, 0x100bn, 1n << 63n), this.of(0n, 0n, 1n));
      return { type: this.of(1, 2, 2, 2), bytes: new Uint8Array(words.buffer) };
    }
    const bytes = new Uint8Array(this.of(24, 24, 24, 0, 16, 32));
    if (bytes.length >= 20) bytes[16] = this.of(39, 48, 48, 57);
    return { type: this.of(0, 1, 1, 1, 2), bytes };
  }
}
