/** Nothing internal leaves the model: random calls, and closing at any moment. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SELFTEST } from "../../lib/backend/software/iommus/selftest.ts";
import type { SoftwareIommufdFile } from "../../lib/backend/software/software-iommufd.ts";
import { isSystemError, systemError } from "../../lib/errors.ts";
import {
  Device,
  type DmaMemory,
  FaultQueue,
  Hwpt,
  Ioas,
  Iommufd,
  IommufdError,
  type SoftwareMachine,
  softwareMachine,
  VeventQueue,
  Viommu,
} from "../../lib/index.ts";
import type { Resource } from "../../lib/iommufd/resource.ts";
import { openModel } from "../model.ts";

const PAGE = 4096n;
/** Where mock devices, and others, can translate. */
const BASE = 1n << 24n;
const EVENTS = { type: SELFTEST.veventqType, dataLength: 4 };

const words = (type: number, ...values: number[]) => ({
  type,
  bytes: new Uint8Array(Uint32Array.from(values).buffer),
});

/** A call: which, and numbers that choose its arguments. */
type Step = readonly [name: keyof typeof CALLS, a: number, b: number, c: number];

/** A program on a machine of the model. */
class Program {
  readonly machine: SoftwareMachine;
  readonly file: SoftwareIommufdFile;
  readonly iommufd: Iommufd;
  readonly memories: DmaMemory[] = [];
  readonly resources: Resource[] = [];
  readonly pending: Promise<unknown>[] = [];

  constructor(profile: string) {
    const { machine, files } = openModel(profile);
    this.machine = machine;
    this.iommufd = Iommufd.open(machine);
    this.file = files[0] as SoftwareIommufdFile;
  }

  /** One of the objects of a kind that were made; throws what a call without one would not be made for. */
  pick<Kind extends Resource>(kind: abstract new (...values: never[]) => Kind, which: number): Kind {
    const all = this.resources.filter((resource) => resource instanceof kind) as Kind[];
    const found = all[which % all.length];
    if (found === undefined) throw systemError("ENOENT", "pick");
    return found;
  }

  keep<Kind extends Resource>(resource: Kind): Kind {
    this.resources.push(resource);
    return resource;
  }

  do([name, a, b, c]: Step): void {
    try {
      const result = CALLS[name](this, a, b, c);
      if (result instanceof Promise) this.pending.push(result.catch(checkError));
    } catch (error) {
      checkError(error);
    }
  }
}

/** The calls that are made to fail. */
const FAILING = [
  "IOMMU_DESTROY",
  "IOMMU_IOAS_ALLOC",
  "IOMMU_IOAS_MAP",
  "IOMMU_IOAS_UNMAP",
  "IOMMU_IOAS_COPY",
  "IOMMU_HWPT_ALLOC",
  "IOMMU_FAULT_QUEUE_ALLOC",
  "IOMMU_VIOMMU_ALLOC",
  "IOMMU_VDEVICE_ALLOC",
  "IOMMU_VEVENTQ_ALLOC",
  "IOMMU_HW_QUEUE_ALLOC",
  "VFIO_DEVICE_BIND_IOMMUFD",
  "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
  "VFIO_DEVICE_DETACH_IOMMUFD_PT",
] as const;

const CALLS = {
  allocIoas: (p: Program) => p.keep(p.iommufd.allocIoas()),
  openDevice: (p: Program, a: number) => {
    const all = p.iommufd.devices();
    return p.keep(p.iommufd.openDevice(all[a % all.length] ?? ""));
  },
  map: (p: Program, a: number, b: number, c: number) => {
    const memory = p.iommufd.allocMemory(2n * PAGE);
    p.memories.push(memory);
    const options = { iova: BASE + BigInt(b % 4) * PAGE, writable: c % 4 > 0 };
    return c % 2 ? p.pick(Ioas, a).mapSync(memory, options) : p.pick(Ioas, a).map(memory, options);
  },
  unmap: (p: Program, a: number, b: number, c: number) => {
    const range = [BASE + BigInt(b % 4) * PAGE, BigInt(c % 4) * PAGE] as const;
    return c % 2 ? p.pick(Ioas, a).unmapSync(...range) : p.pick(Ioas, a).unmap(...range);
  },
  unmapAll: (p: Program, a: number) => p.pick(Ioas, a).unmapSync(0n, (1n << 64n) - 1n),
  copy: (p: Program, a: number, b: number, c: number) =>
    p.pick(Ioas, a).copyFrom(p.pick(Ioas, b), { sourceIova: BASE + BigInt(c % 4) * PAGE, length: PAGE }),
  changeProcess: (p: Program) => p.iommufd.changeProcess(),
  hugePages: (p: Program, a: number, b: number) => {
    p.pick(Ioas, a).hugePages = b % 2 === 0;
  },
  allocFaultQueue: (p: Program) => p.keep(p.iommufd.allocFaultQueue()),
  allocNestParent: (p: Program, a: number, b: number) =>
    p.keep(p.pick(Ioas, a).allocHwptSync(p.pick(Device, b), { nestParent: true })),
  allocHwpt: (p: Program, a: number, b: number, c: number) => {
    const faultQueue = c % 4 === 0 ? p.pick(FaultQueue, c) : undefined;
    const options = { dirtyTracking: c % 2 === 0, pasid: c % 3 === 0, faultQueue };
    return p.keep(p.pick(Ioas, a).allocHwptSync(p.pick(Device, b), options));
  },
  allocHwptLater: async (p: Program, a: number, b: number) =>
    p.keep(await p.pick(Ioas, a).allocHwpt(p.pick(Device, b))),
  allocNested: (p: Program, a: number, b: number, c: number) => {
    const viommu = c % 2 ? p.pick(Viommu, c) : undefined;
    const data =
      p.machine.backend.vfioDevices().length > 2
        ? words(SELFTEST.hwptDataType, 1, 0)
        : words(1, 0, 0, 0, 0, 48, 0);
    return p.keep(p.pick(Hwpt, a).allocNestedSync(p.pick(Device, b), data, { viommu }));
  },
  attach: (p: Program, a: number, b: number, c: number) => {
    const target = c % 2 ? p.pick(Ioas, b) : p.pick(Hwpt, b);
    return p.pick(Device, a).attachSync(target, c % 3 ? {} : { pasid: 1 + (c % 2) });
  },
  attachLater: (p: Program, a: number, b: number) => p.pick(Device, a).attach(p.pick(Ioas, b)),
  detach: (p: Program, a: number, _: number, c: number) =>
    p.pick(Device, a).detach(c % 3 ? {} : { pasid: 1 + (c % 2) }),
  setDirtyTracking: (p: Program, a: number, b: number) => p.pick(Hwpt, a).setDirtyTracking(b % 2 === 0),
  readDirtyBitmap: (p: Program, a: number) =>
    p.pick(Hwpt, a).readDirtyBitmap({ iova: BASE, length: 4n * PAGE }),
  allocViommu: (p: Program, a: number, b: number) =>
    p.keep(p.pick(Hwpt, a).allocViommu(p.pick(Device, b), words(SELFTEST.viommuType))),
  allocVdevice: (p: Program, a: number, b: number, c: number) =>
    p.keep(p.pick(Viommu, a).allocVdevice(p.pick(Device, b), BigInt(c % 3))),
  allocVeventQueue: (p: Program, a: number) =>
    p.keep(p.pick(Viommu, a).allocVeventQueue({ type: EVENTS, depth: 4 })),
  allocHwQueue: (p: Program, a: number, b: number, c: number) =>
    p.keep(
      p.pick(Viommu, a).allocHwQueue({
        type: SELFTEST.hwQueueType,
        index: b % 3,
        iova: BASE + BigInt(c % 4) * PAGE,
        length: PAGE,
      }),
    ),
  dma: (p: Program, a: number, b: number, c: number) => {
    const bdfs = p.iommufd.devices();
    const pasid = c % 3 ? undefined : 1;
    return p.machine.dmaWrite(bdfs[a % bdfs.length] ?? "", BASE + BigInt(b % 5) * PAGE, new Uint8Array(64), {
      pasid,
    });
  },
  failNext: (p: Program, a: number) =>
    p.machine.failNext(FAILING[a % FAILING.length] ?? "IOMMU_DESTROY", a % 2 ? "EBUSY" : "ENOMEM"),
  closeOne: (p: Program, a: number) => p.resources[a % p.resources.length]?.close(),
  closeQueue: (p: Program, a: number) => (a % 2 ? p.pick(FaultQueue, a) : p.pick(VeventQueue, a)).close(),
  closeMemory: (p: Program, a: number) => p.memories[a % p.memories.length]?.close(),
};

/** Errors that a caller may see: an error of the system, of the library, or about an argument. */
function checkError(error: unknown): void {
  const expected =
    isSystemError(error) ||
    error instanceof IommufdError ||
    error instanceof RangeError ||
    (error instanceof TypeError && "code" in error);
  if (!expected) throw error;
}

const number = fc.nat({ max: 23 });
const steps = fc.array(
  fc.tuple(
    fc.constantFrom(...(Object.keys(CALLS) as Step[0][])),
    number,
    number,
    number,
  ) as fc.Arbitrary<Step>,
  { minLength: 5, maxLength: 30 },
);
/** So that a sequence gets somewhere. */
const START: Step[] = [
  ["allocIoas", 0, 0, 0],
  ["openDevice", 0, 0, 0],
  ["openDevice", 1, 0, 0],
  ["map", 0, 0, 1],
  ["allocFaultQueue", 0, 0, 0],
  ["allocNestParent", 0, 0, 0],
  ["allocViommu", 0, 0, 0],
];

async function closesAtOnce(profile: string, calls: readonly Step[]): Promise<void> {
  const program = new Program(profile);
  for (const call of calls) program.do(call);
  program.machine.clearFailures();
  program.iommufd.close();
  await Promise.all(program.pending);
  expect(program.resources.filter((resource) => !resource.closed && !(resource instanceof Hwpt))).toEqual([]);
  expect([...program.file.objects]).toEqual([]);
  expect(program.machine.pinned).toBe(0n);
  for (const memory of program.memories) memory.close();
  // Its devices are there for the next.
  using next = Iommufd.open(program.machine);
  for (const bdf of next.devices()) next.openDevice(bdf);
}

describe.each(["selftest", "sapphire-rapids"])("a machine of the model, %s", (profile) => {
  it("closes at any step of any calls, without an error and with nothing held", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (more) => {
        const all = [...START, ...more];
        for (let length = START.length; length <= all.length; length++)
          await closesAtOnce(profile, all.slice(0, length));
      }),
      { numRuns: 60 },
    );
  });
});

describe("an iommufd of the model", () => {
  it("closes with a hardware queue whose memory is mapped", async () => {
    await closesAtOnce("selftest", [...START, ["allocHwQueue", 0, 0, 0]]);
  });

  it("rolls back as far as it can where that is refused", () => {
    const machine = softwareMachine("selftest");
    using iommufd = Iommufd.open(machine);
    const ioas = iommufd.allocIoas();
    const memory = iommufd.allocMemory(4n * PAGE);
    ioas.mapSync(memory, { iova: 2n * PAGE, length: PAGE });
    machine.failNext("IOMMU_IOAS_UNMAP", "EBUSY");
    const ranges = {
      iovas: BigUint64Array.of(0n, PAGE, 2n * PAGE),
      offsets: BigUint64Array.of(0n, PAGE, 0n),
      lengths: BigUint64Array.of(PAGE, PAGE, PAGE),
    };
    expect(() => ioas.mapManySync(memory, ranges)).toThrow(expect.objectContaining({ code: "EEXIST" }));
    // The second is still mapped, and held.
    expect(memory.mappings).toBe(2);
    expect(ioas.unmapSync(PAGE, PAGE)).toBe(PAGE);
    expect(memory.mappings).toBe(1);
  });
});
