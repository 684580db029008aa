/**
 * The model held against the kernel: random calls, valid and not, made on both, and every result and error compared.
 * A difference is shrunk to the shortest sequence that shows it.
 *
 * IOMMUFD_FUZZ_CALLS says how many calls (default 40,000: half with a fixed seed, half with a fresh one, which is
 * printed), IOMMUFD_FUZZ_SEED repeats a run. `npm run fuzz:kernel` sets them.
 */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import type { Backend, IommufdFile, VfioDeviceFile } from "../../lib/backend/backend.ts";
import type { BackendMemory } from "../../lib/backend/handles.ts";
import { KernelBackend } from "../../lib/backend/kernel/kernel-backend.ts";
import { SoftwareMemory } from "../../lib/backend/software/software-memory.ts";
import { wrap } from "../../lib/backend/wrapper.ts";
import { isSystemError } from "../../lib/errors.ts";
import { softwareMachine } from "../../lib/index.ts";
import type { DeviceId, HwptId, IoasId, ObjectId, ViommuId } from "../../lib/uapi.ts";
import { FIRST, laterThan, SECOND } from "../conformance/backend.ts";

const CALLS = Number(process.env["IOMMUFD_FUZZ_CALLS"] ?? 40_000);
/** How many calls a sequence has on average; each begins on a fresh iommufd. */
const LENGTH = 40;
const FIXED_SEED = 772415;
const MEMORY_LENGTH = 64n * 4096n;

const kernel = wrap(new KernelBackend());
const model = softwareMachine("qemu-vtd").backend;

const kernelMemory = kernel.allocMemory({ length: MEMORY_LENGTH, pageSize: 4096n, anonymous: false });
/** The same memory in the model: where it is decides where mappings are placed. */
const modelMemory = (() => {
  const line = readFileSync("/proc/self/maps", "utf8").match(/^([0-9a-f]+)-\S+ .*memfd:iommufd/m);
  return new SoftwareMemory(BigInt(`0x${line?.[1]}`), MEMORY_LENGTH);
})();
afterAll(() => kernelMemory.close());

/** One side: an iommufd, both devices, and the memory. */
class Side {
  readonly file: IommufdFile;
  readonly memory: BackendMemory;
  readonly #backend: Backend;
  readonly #devices = new Map<string, VfioDeviceFile>();

  constructor(backend: Backend, memory: BackendMemory) {
    this.#backend = backend;
    this.memory = memory;
    this.file = backend.openIommufd();
  }

  /** A device, opened when it is first used. */
  device(bdf: string): VfioDeviceFile {
    let device = this.#devices.get(bdf);
    if (device === undefined) {
      device = this.#backend.openVfioDevice(this.#backend.findVfioDevice(bdf).cdev);
      this.#devices.set(bdf, device);
    }
    return device;
  }

  closeDevice(bdf: string): void {
    this.#devices.get(bdf)?.close();
    this.#devices.delete(bdf);
  }

  close(): void {
    for (const device of this.#devices.values()) device.close();
    this.file.close();
  }
}

type Call = (side: Side) => unknown;

/** The outcome of a call, as far as both sides have to agree. */
function outcome(side: Side, call: Call): unknown {
  try {
    return call(side) ?? "done";
  } catch (error) {
    if (isSystemError(error)) return `${error.code} ${error.syscall}`;
    throw error;
  }
}

const U64_MAX = (1n << 64n) - 1n;
/** Values near which something happens, and their neighbours. */
const edges = [
  0n,
  4096n,
  8192n,
  0x10_000n,
  0xfee0_0000n,
  0xfef0_0000n,
  1n << 21n,
  1n << 30n,
  1n << 39n,
  1n << 63n,
  U64_MAX,
];
const near = fc
  .tuple(fc.constantFrom(...edges), fc.constantFrom(0n, 0n, 0n, 1n, -1n, 4096n, -4096n, 2048n))
  .map(([edge, offset]) => BigInt.asUintN(64, edge + offset));
const pages = (most: bigint) => fc.bigInt({ min: 0n, max: most }).map((count) => count * 4096n);
const iova = fc.oneof(
  { arbitrary: pages(40n), weight: 6 },
  { arbitrary: near, weight: 2 },
  fc.bigInt({ min: 0n, max: 0x20_000n }),
);
const length = fc.oneof(
  { arbitrary: pages(16n), weight: 6 },
  { arbitrary: near, weight: 1 },
  fc.bigInt({ min: 0n, max: 0x4000n }),
);
const id = fc.oneof(
  { arbitrary: fc.integer({ min: 1, max: 8 }), weight: 20 },
  fc.constantFrom(0, 99, 0xffff_ffff),
);
const bdf = fc.constantFrom(FIRST, SECOND);
/** Flags, most of which are known. */
const flags = (known: number) =>
  fc.oneof(
    { arbitrary: fc.integer({ min: 0, max: known }), weight: 8 },
    fc.constantFrom(known + 1, 0x8000_0000),
  );
/** A part of the memory. */
const part = fc
  .tuple(pages(48n), fc.constantFrom(0n, 0n, 0n, 1n, 2048n), length)
  .map(([start, more, wanted]) => {
    const offset = start + more;
    return { offset, length: wanted < MEMORY_LENGTH - offset ? wanted : MEMORY_LENGTH - offset };
  });
const guest = fc
  .tuple(
    fc.constantFrom(24, 24, 24, 0, 16, 32),
    fc.constantFrom(0, 1, 1, 1, 2),
    fc.constantFrom(39, 48, 48, 57),
  )
  .map(([size, type, width]) => {
    const bytes = new Uint8Array(size);
    if (size >= 20) bytes[16] = width;
    return { type, bytes };
  });

/** A call with the words for it. */
interface Step {
  readonly call: Call;
  toString(): string;
}

function step<Values extends unknown[]>(
  name: string,
  values: { [Index in keyof Values]: fc.Arbitrary<Values[Index]> },
  call: (side: Side, ...values: Values) => unknown,
): fc.Arbitrary<Step> {
  return fc.tuple(...(values as fc.Arbitrary<unknown>[])).map((drawn) => ({
    call: (side) => call(side, ...(drawn as Values)),
    toString: () => `${name}(${drawn.map((value) => fc.stringify(value)).join(", ")})`,
  }));
}

const hwInfo = (side: Side, deviceId: number, type: number | undefined) => {
  const { data, ...rest } = side.file.getHwInfo(deviceId as DeviceId, 64, type);
  return { ...rest, data: [...data] };
};

const all: { weight: number; arbitrary: fc.Arbitrary<Step> }[] = [
  { weight: 3, arbitrary: step("ioasAlloc", [], ({ file }) => file.ioasAlloc()) },
  { weight: 2, arbitrary: step("destroy", [id], ({ file }, which) => file.destroy(which as ObjectId)) },
  {
    weight: 10,
    arbitrary: step("ioasMap", [id, flags(7), part, iova], ({ file, memory }, ioas, bits, range, at) =>
      file.ioasMapSync({ ioasId: ioas as IoasId, flags: bits, memory, ...range, iova: at }),
    ),
  },
  {
    weight: 4,
    arbitrary: step("ioasMapFile", [id, flags(7), part, iova], ({ file, memory }, ioas, bits, range, at) =>
      file.ioasMapFileSync({
        ioasId: ioas as IoasId,
        flags: bits,
        file: memory,
        start: range.offset,
        length: range.length,
        iova: at,
      }),
    ),
  },
  {
    weight: 6,
    arbitrary: step("ioasUnmap", [id, iova, length], ({ file }, ioas, at, bytes) =>
      file.ioasUnmapSync(ioas as IoasId, at, bytes),
    ),
  },
  {
    weight: 1,
    arbitrary: step("ioasUnmap", [id], ({ file }, ioas) => file.ioasUnmapSync(ioas as IoasId, 0n, U64_MAX)),
  },
  {
    weight: 4,
    arbitrary: step(
      "ioasCopy",
      [id, id, flags(7), length, iova, iova],
      ({ file }, destination, source, bits, bytes, to, from) =>
        file.ioasCopySync({
          destinationId: destination as IoasId,
          sourceId: source as IoasId,
          flags: bits,
          length: bytes,
          destinationIova: to,
          sourceIova: from,
        }),
    ),
  },
  {
    weight: 2,
    arbitrary: step(
      "ioasAllowIovas",
      [id, fc.array(fc.tuple(iova, length), { maxLength: 3 })],
      ({ file }, ioas, ranges) =>
        file.ioasAllowIovas(
          ioas as IoasId,
          ranges.map(([start, more]) => ({ start, last: BigInt.asUintN(64, start + more - 1n) })),
        ),
    ),
  },
  {
    weight: 3,
    arbitrary: step("ioasIovaRanges", [id], ({ file }, ioas) => file.ioasIovaRanges(ioas as IoasId)),
  },
  {
    weight: 2,
    arbitrary: step(
      "option",
      [fc.constantFrom(0, 1, 1, 1, 2), fc.constantFrom(0, 0, 1, 2), id, fc.constantFrom(0n, 1n, 2n)],
      ({ file }, optionId, op, objectId, value) =>
        file.option({ optionId, op, objectId: optionId === 0 && objectId < 5 ? 0 : objectId, value }),
    ),
  },
  {
    weight: 1,
    arbitrary: step("vfioIoas", [fc.constantFrom(0, 1, 2, 3), id], ({ file }, op, ioas) =>
      file.vfioIoas(op, ioas as IoasId),
    ),
  },
  { weight: 1, arbitrary: step("changeProcess", [], ({ file }) => file.ioasChangeProcess()) },
  { weight: 3, arbitrary: step("bind", [bdf], (side, device) => side.device(device).bindIommufd(side.file)) },
  { weight: 1, arbitrary: step("closeDevice", [bdf], (side, device) => side.closeDevice(device)) },
  {
    weight: 5,
    arbitrary: step(
      "attach",
      [bdf, id, fc.constantFrom(undefined, undefined, undefined, 7)],
      (side, device, pt, pasid) => side.device(device).attachIommufdPtSync(pt as HwptId, pasid),
    ),
  },
  {
    weight: 3,
    arbitrary: step("detach", [bdf, fc.constantFrom(undefined, undefined, 7)], (side, device, pasid) =>
      side.device(device).detachIommufdPt(pasid),
    ),
  },
  {
    weight: 4,
    arbitrary: step(
      "hwptAlloc",
      [
        id,
        id,
        fc.oneof({ arbitrary: fc.constantFrom(0, 1, 1, 8), weight: 4 }, flags(15)),
        fc.option(guest, { nil: undefined, freq: 3 }),
      ],
      ({ file }, device, pt, bits, data) =>
        file.hwptAllocSync({ deviceId: device as DeviceId, ptId: pt as HwptId, flags: bits, data }),
    ),
  },
  {
    weight: 2,
    arbitrary: step(
      "hwptInvalidate",
      [id, fc.constantFrom(0, 0, 1), fc.constantFrom(24, 24, 16, 0)],
      ({ file }, hwpt, dataType, entryLength) => {
        const entries = new Uint8Array(entryLength * 2);
        const request = {
          id: hwpt as HwptId,
          dataType,
          entryLength,
          count: entryLength === 0 ? 0 : 2,
          entries,
        };
        const { done, error } = file.hwptInvalidate(request);
        return [done, error?.code];
      },
    ),
  },
  {
    weight: 1,
    arbitrary: step("setDirtyTracking", [id, fc.boolean()], ({ file }, hwpt, enabled) =>
      file.hwptSetDirtyTracking(hwpt as HwptId, enabled),
    ),
  },
  {
    weight: 1,
    arbitrary: step(
      "getDirtyBitmap",
      // A length of 0, and page sizes other than powers of two, are refused before the kernel is asked.
      [
        id,
        fc.constantFrom(0, 1, 2),
        iova,
        pages(8n).filter((bytes) => bytes > 0n),
        fc.constantFrom(2048n, 4096n, 8192n),
      ],
      ({ file }, hwpt, bits, at, bytes, pageSize) => [
        ...file.hwptGetDirtyBitmapSync({
          hwptId: hwpt as HwptId,
          flags: bits,
          iova: at,
          length: bytes,
          pageSize,
        }),
      ],
    ),
  },
  { weight: 1, arbitrary: step("getHwInfo", [id, fc.constantFrom(undefined, 0, 1, 2)], hwInfo) },
  {
    weight: 1,
    arbitrary: step("viommuAlloc", [id, id, fc.integer({ min: 0, max: 2 })], ({ file }, device, hwpt, type) =>
      file.viommuAlloc({
        deviceId: device as DeviceId,
        hwptId: hwpt as HwptId,
        type,
        bytes: new Uint8Array(0),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: step("vdeviceAlloc", [id, id], ({ file }, viommu, device) =>
      file.vdeviceAlloc(viommu as number as ViommuId, device as DeviceId, 1n),
    ),
  },
];

/** A sequence on both sides; notes what came of each call, and throws at the first that they differ in. */
function run(steps: readonly Step[], made: Map<string, number>): void {
  const [real, modelled] = [new Side(kernel, kernelMemory), new Side(model, modelMemory)];
  try {
    for (const { call } of steps) {
      const answer = outcome(real, call);
      expect(outcome(modelled, call)).toEqual(answer);
      const kind = typeof answer === "string" && answer !== "done" ? answer : "success";
      made.set(kind, (made.get(kind) ?? 0) + 1);
    }
  } finally {
    real.close();
    modelled.close();
  }
}

const sequence = fc.array(fc.oneof(...all), { minLength: 1, maxLength: LENGTH * 2, size: "max" });

/** Runs sequences until so many calls have been made; throws with the shortest that shows a difference. */
function compare(calls: number, seed: number): { total: number; made: Map<string, number> } {
  const made = new Map<string, number>();
  let total = 0;
  for (let round = 0; total < calls; round++) {
    const numRuns = Math.ceil((calls - total) / LENGTH);
    fc.assert(
      fc.property(sequence, (steps) => run(steps, made)),
      { seed: seed + round, numRuns },
    );
    total = [...made.values()].reduce((sum, count) => sum + count);
  }
  return { total, made };
}

const givenSeed = process.env["IOMMUFD_FUZZ_SEED"];
const seeds =
  givenSeed === undefined ? [FIXED_SEED, (Date.now() ^ (process.pid << 16)) | 0] : [Number(givenSeed)];

it.skipIf(!laterThan(6, 12)).each(seeds)(
  "the model answers as the kernel does, seed %d",
  (seed) => {
    const { total, made } = compare(CALLS / seeds.length, seed);
    // Both sides must agree on more than refusals.
    expect(made.get("success")).toBeGreaterThan(total / 10);
    console.log(
      `${total} calls compared, seed ${seed}: ${made.get("success")} succeeded, refused in ${made.size - 1} ways`,
    );
  },
  600_000,
);
