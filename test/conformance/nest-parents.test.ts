/** Errors of nest parents say what they mean, in the same words on the model and on the kernel. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Device, type DmaMemory, type Ioas, type Iommufd, isSystemError } from "../../lib/index.ts";
import { backendName, FIRST, laterThan, open, PAGE } from "./backend.ts";
import { lacks } from "./iommus.ts";

const NOT_MAPPED =
  ": this IOMMU takes no read-only mapping into a nest parent (ERRATA_772415_SPR17; docs/troubleshooting.md)";
const NOT_MADE =
  ": this IOMMU makes no nest parent of an address space with read-only mappings (ERRATA_772415_SPR17; docs/troubleshooting.md)";
const READ_ONLY = { iova: 0xc_0000n, writable: false } as const;

let iommufd: Iommufd;
let device: Device;
let ioas: Ioas;
let memory: DmaMemory;

beforeEach(() => {
  iommufd = open();
  device = iommufd.openDevice(FIRST);
  ioas = iommufd.allocIoas();
  memory = iommufd.allocMemory(4n * PAGE);
});

afterEach(() => {
  iommufd.close();
  memory.close();
});

/** The message of a refusal, behind its code. */
async function refusal(code: string, call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    if (isSystemError(error, code)) return error.message;
    throw error;
  }
  return "accepted";
}

describe.skipIf(lacks.erratum)(`read-only memory and nest parents (${backendName})`, () => {
  it("EINVAL of a read-only mapping says why, whichever way it is made", async () => {
    using source = iommufd.allocIoas();
    source.mapSync(memory, { iova: 0n });
    ioas.allocHwptSync(device, { nestParent: true });
    const ranges = {
      iovas: BigUint64Array.of(READ_ONLY.iova),
      offsets: BigUint64Array.of(0n),
      lengths: BigUint64Array.of(PAGE),
    };
    const copy = { sourceIova: 0n, length: PAGE, ...READ_ONLY };
    const calls = [
      () => ioas.map(memory, READ_ONLY),
      () => ioas.mapSync(memory, READ_ONLY),
      () => ioas.mapSync(memory, { writable: false }),
      () => ioas.mapMany(memory, ranges, { writable: false }),
      () => ioas.mapManySync(memory, ranges, { writable: false }),
      () => ioas.copyFrom(source, copy),
      () => ioas.copyFromSync(source, copy),
      ...(laterThan(6, 12)
        ? [() => ioas.mapFile(memory, READ_ONLY), () => ioas.mapFileSync(memory, READ_ONLY)]
        : []),
    ];
    for (const call of calls) expect(await refusal("EINVAL", call)).toSatisfy(saying(NOT_MAPPED));
    expect(ioas.mapSync(memory, { iova: READ_ONLY.iova })).toBe(READ_ONLY.iova);
  });

  it("EINVAL for another reason does not", async () => {
    device.attachSync(ioas.allocHwptSync(device, { nestParent: true }));
    for (const options of [
      { ...READ_ONLY, iova: 0xfee0_0000n },
      { ...READ_ONLY, iova: 0x800n },
      { ...READ_ONLY, iova: 1n << 40n },
      { iova: 0x800n },
    ])
      expect(await refusal("EINVAL", () => ioas.map(memory, options))).not.toContain("ERRATA");
  });

  it("nor is it said once the nest parent is gone: then it is mapped", async () => {
    ioas.allocHwptSync(device, { nestParent: true }).close();
    ioas.allocHwptSync(device);
    expect(await refusal("EINVAL", () => ioas.map(memory, READ_ONLY))).toBe("accepted");
    expect(await refusal("EINVAL", () => ioas.map(memory, { ...READ_ONLY, iova: 0x800n }))).not.toContain(
      "ERRATA",
    );
  });

  it("EINVAL of a nest parent says that there are read-only mappings", async () => {
    ioas.mapSync(memory, READ_ONLY);
    const options = { nestParent: true };
    expect(await refusal("EINVAL", () => ioas.allocHwpt(device, options))).toSatisfy(saying(NOT_MADE));
    expect(await refusal("EINVAL", () => ioas.allocHwptSync(device, options))).toSatisfy(saying(NOT_MADE));
    ioas.unmapSync(READ_ONLY.iova, memory.length);
    expect(await refusal("EINVAL", () => ioas.allocHwpt(device, options))).toBe("accepted");
  });
});

function saying(words: string): (message: string) => boolean {
  return (message) => message.endsWith(words);
}
