/**
 * The options of mappings, and how they become requests to a backend.
 */

import { type ByteCount, checkByteCount, checkU64, knownOptions } from "../arguments.ts";
import { invalidType, outOfRange } from "../errors.ts";
import { IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE } from "../uapi.ts";
import type { DmaBuf } from "./dma-buf.ts";
import { DmaMemory } from "./dma-memory.ts";

/** How memory is mapped. */
export interface MapOptions {
  /** Where; a multiple of the alignment in {@link Ioas.iovaRanges}. Default: the kernel chooses. */
  iova?: bigint | undefined;
  /** Where in the memory to start, in bytes. Default 0. */
  offset?: ByteCount | undefined;
  /** How much, in bytes. Default: the rest of the memory. */
  length?: ByteCount | undefined;
  /** Whether devices may read. Default true. */
  readable?: boolean | undefined;
  /** Whether devices may write. Default true. */
  writable?: boolean | undefined;
}

const PERMISSIONS = { readable: "boolean", writable: "boolean" } as const;
const WHERE = { iova: "other", length: "other", ...PERMISSIONS } as const;

/** @internal */
export const MAP_OPTIONS = knownOptions<MapOptions>({ ...WHERE, offset: "other" });

/** Mappings that are made at once: parallel arrays, one element a mapping. */
export interface MapManyRanges {
  /** Where each is mapped. */
  iovas: BigUint64Array;
  /** How long each is, in bytes. */
  lengths: BigUint64Array;
  /** Where in the memory each starts, in bytes. */
  offsets: BigUint64Array;
}

/** How many mappings are made at once. */
export interface MapManyOptions extends Pick<MapOptions, "readable" | "writable"> {
  /** Whether those before one that is refused are unmapped again. Default true. */
  rollBack?: boolean | undefined;
}

/** @internal */
export const MAP_MANY_OPTIONS = knownOptions<MapManyOptions>({ ...PERMISSIONS, rollBack: "boolean" });

/** How a file is mapped. */
export interface MapFileOptions extends Omit<MapOptions, "offset"> {
  /** Where in the file to start, in bytes. Default 0. */
  start?: ByteCount | undefined;
}

/** @internal */
export const MAP_FILE_OPTIONS = knownOptions<MapFileOptions>({ ...WHERE, start: "other" });

/** How mappings of another address space are copied. */
export interface CopyOptions extends Omit<MapOptions, "offset" | "length"> {
  /** Where in the other address space to start. */
  sourceIova: bigint;
  /** How much, in bytes. */
  length: ByteCount;
}

/** @internal */
export const COPY_OPTIONS = knownOptions<CopyOptions>({ ...WHERE, sourceIova: "other" });

/** The options that are the same everywhere: the place, and the permissions. */
export function placement(options: Pick<MapOptions, "iova" | "readable" | "writable">): {
  flags: number;
  iova: bigint;
} {
  const flags =
    (options.iova === undefined ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA) |
    (options.readable === false ? 0 : IOMMU_IOAS_MAP_READABLE) |
    (options.writable === false ? 0 : IOMMU_IOAS_MAP_WRITEABLE);
  return { flags, iova: options.iova === undefined ? 0n : checkU64(options.iova, "iova") };
}

/** The length of a part of memory: what was asked for, or the rest. */
export function checkPart(
  memory: Pick<DmaMemory, "length">,
  offset: bigint,
  name: string,
  length: ByteCount | undefined,
): bigint {
  if (offset > memory.length)
    throw outOfRange(name, `at most ${memory.length}, the length of the memory`, offset);
  const rest = memory.length - offset;
  if (length === undefined) return rest;
  const bytes = checkByteCount(length, "length");
  if (bytes > rest) throw outOfRange("length", `at most ${rest}, the rest of the memory`, length);
  return bytes;
}

/** Arrays of 64-bit values, of one length; copied, because the caller's may change while a call runs. */
export function copyRanges<Name extends keyof MapManyRanges>(
  ranges: Pick<MapManyRanges, Name>,
  names: readonly [Name, ...Name[]],
): Pick<MapManyRanges, Name> {
  const copies = {} as Pick<MapManyRanges, Name>;
  for (const name of names) {
    const values = ranges[name];
    if (!(values instanceof BigUint64Array)) throw invalidType(name, "a BigUint64Array", values);
    copies[name] = values.slice();
    const expected = copies[names[0]].length;
    if (values.length !== expected)
      throw outOfRange(name, `as long as ${names[0]}, ${expected}`, values.length);
  }
  return copies;
}

/** The memory that a file is; none of ours for a descriptor, or for a dma-buf, which the kernel holds by itself. */
export function memoryOf(file: DmaMemory | DmaBuf | number): DmaMemory | undefined {
  return file instanceof DmaMemory ? file : undefined;
}
