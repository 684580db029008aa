/**
 * Every allocation of the kernel fails once, in each sequence of calls: the n-th of a thread, for n = 1, 2, 3 … until there
 * are no more (Documentation/fault-injection/fault-injection.rst, fail-nth). Each time there is one clear error or none,
 * the same sequence works right afterwards, and nothing of it stays.
 */

import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Container, type DmaMemory, type Ioas, Iommufd, type MemorySection } from "../../lib/index.ts";
import { FIRST, PAGE, SECOND } from "../conformance/backend.ts";
import { machineFigure, processFigure } from "./proc.ts";

const DEBUG = "/sys/kernel/debug";
const CAN_INJECT = process.env["IOMMUFD_TEST_MACHINE"] === "faults";

/** More allocations than any sequence makes. */
const MANY = 5000;

/** A thread of this process whose allocations can be made to fail. */
class Thread {
  readonly #file: number;

  /** @param id as in /proc/self/task */
  constructor(id: string) {
    this.#file = openSync(`/proc/self/task/${id}/fail-nth`, "r+");
  }

  /** Makes the n-th allocation from now on fail. */
  arm(nth: number): void {
    writeSync(this.#file, `${nth}`, 0);
  }

  /** Lets all succeed again; whether one has failed. */
  disarm(): boolean {
    const text = Buffer.alloc(16);
    const length = readSync(this.#file, text, 0, 16, 0);
    writeSync(this.#file, "0", 0);
    return Number.parseInt(text.toString("latin1", 0, length), 10) === 0;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** The outcome of a sequence. */
interface Outcome {
  sequence: string;
  /** Allocations that were made to fail, one after the other. */
  faults: number;
  /** Failures that the sequence survived. */
  survived: number;
  /** … or was refused, by code. Not always ENOMEM: the kernel puts others in its place, and looking up an object fails with
   * ENOENT where CONFIG_IOMMUFD_TEST has it fail (iommufd_should_fail()). */
  codes: Record<string, number>;
}

const outcomes: Outcome[] = [];

/** @param undo what the sequence has left, where it ended before its end */
async function failEach(
  sequence: string,
  thread: Thread,
  run: () => void | Promise<void>,
  undo = () => {},
): Promise<void> {
  const outcome: Outcome = { sequence, faults: 0, survived: 0, codes: {} };
  // Once without, so that what is allocated once and kept is there.
  await run();
  const before = held();
  for (let nth = 1; ; nth++) {
    expect(nth).toBeLessThan(MANY);
    globalThis.gc?.();
    let error: unknown;
    thread.arm(nth);
    try {
      await run();
    } catch (thrown) {
      error = thrown;
    }
    if (!thread.disarm()) {
      expect(error).toBeUndefined();
      break;
    }
    undo();
    outcome.faults++;
    if (error === undefined) outcome.survived++;
    else {
      const code = codeOf(error);
      expect(code, `${sequence}, ${nth}: ${inspect(error)}`).toMatch(/^E[A-Z0-9]+$/);
      outcome.codes[String(code)] = (outcome.codes[String(code)] ?? 0) + 1;
    }
    await run();
    expect(held()).toEqual(before);
  }
  outcomes.push(outcome);
  expect(outcome.codes).toHaveProperty("ENOMEM");
}

/** The code that the kernel answered with, where it is wrapped. */
function codeOf(error: unknown): unknown {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return String(code).startsWith("ERR_IOMMUFD_") && cause !== undefined ? codeOf(cause) : code;
}

/** The memory that the kernel holds for this process. */
function held(): object {
  const files = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return {
    pinned: processFigure("VmPin"),
    locked: processFigure("VmLck"),
    files: files.filter((file) => file.includes("iommu") || file.includes("vfio")).length,
  };
}

describe.runIf(CAN_INJECT)("every allocation fails once", () => {
  let thread: Thread;
  let availableBefore: number;
  let iommufd: Iommufd;
  let ioas: Ioas;
  let memory: DmaMemory;

  beforeAll(() => {
    for (const kind of ["failslab", "fail_page_alloc", "fail_iommufd"]) {
      const set = (name: string, value: string) => {
        const path = `${DEBUG}/${kind}/${name}`;
        if (existsSync(path)) writeFileSync(path, value);
      };
      set("verbose", "0");
      set("ignore-gfp-wait", "N");
      set("min-order", "0");
    }
    availableBefore = available();
    thread = new Thread(readlinkSync("/proc/thread-self").split("/")[2] as string);
    iommufd = Iommufd.open({ backend: "kernel" });
    ioas = iommufd.allocIoas();
    memory = iommufd.allocMemory(64n * PAGE);
    memory.prefaultSync();
  });

  afterAll(() => {
    iommufd?.close();
    thread?.close();
    console.table(outcomes.map(({ codes, ...rest }) => ({ ...rest, ...codes })));
  });

  it("an iommufd, an address space, its ranges", () =>
    failEach("open, ioas", thread, () => {
      using own = Iommufd.open({ backend: "kernel" });
      const space = own.allocIoas();
      space.allowIovas([{ start: 0n, last: 0xffffffn }]);
      space.iovaRanges();
    }));

  it("mappings without a device", () => {
    const other = iommufd.allocIoas();
    return failEach(
      "map, copy, unmap",
      thread,
      () => {
        ioas.mapSync(memory, { iova: 0n });
        other.copyFromSync(ioas, { sourceIova: 0n, length: 64n * PAGE, iova: 0n });
        other.unmapSync(0n, 64n * PAGE);
        ioas.unmapSync(0n, 64n * PAGE);
      },
      () => {
        unmapAll(ioas);
        unmapAll(other);
      },
    );
  });

  it("a device", () =>
    failEach("bind, hw info, attach, detach", thread, () => {
      using device = iommufd.openDevice(FIRST);
      device.hwInfo();
      device.attachSync(ioas);
      device.detach();
    }));

  it("mappings with a device", () =>
    failEach(
      "attach, map, unmap",
      thread,
      () => {
        using device = iommufd.openDevice(FIRST);
        device.attachSync(ioas);
        ioas.mapSync(memory, { iova: 0n });
        ioas.unmapSync(0n, 64n * PAGE);
      },
      () => unmapAll(ioas),
    ));

  it("a nest parent, and devices that change over to it", () =>
    failEach("nest parent, replace", thread, () => {
      using device = iommufd.openDevice(FIRST);
      device.attachSync(ioas);
      using parent = ioas.allocHwptSync(device, { nestParent: true });
      device.attachSync(parent);
      device.detach();
    }));

  it("a container that applies a plan: all or nothing", async () => {
    // Slow calls run on libuv's threads. There is one here (UV_THREADPOOL_SIZE), which one it has to be found out.
    const pool = new Thread(await poolThread());
    const own = iommufd.allocMemory(64n * PAGE);
    own.prefaultSync();
    const sections: MemorySection[] = [0n, 16n, 32n, 48n].map((page) => ({
      start: page * PAGE,
      size: 16n * PAGE,
      region: "ram",
      offsetInRegion: page * PAGE,
      type: "ram",
      readonly: false,
    }));
    try {
      await failEach("container: two devices, apply", pool, async () => {
        using first = iommufd.openDevice(FIRST);
        using second = iommufd.openDevice(SECOND);
        await using container = new Container(iommufd, { nesting: true });
        await container.addDevice(first);
        await container.addDevice(second);
        await container.apply(sections, () => own);
      });
    } finally {
      pool.close();
    }
  });

  it("and the kernel has its memory back", () => {
    // 256 KiB are pinned in most sequences: had each fault lost them, it would be twice as much.
    expect(availableBefore - available()).toBeLessThan(32);
  });
});

/** Memory that programs could have, in MiB, with what this one has: what the kernel lost is missing from it. */
function available(): number {
  return (machineFigure("MemAvailable") + processFigure("VmRSS")) / 1024;
}

/** Finds libuv's thread, while it waits for somebody to open the other end of a pipe. */
async function poolThread(): Promise<string> {
  const pipe = "/run/tmp/pipe";
  execFileSync("mkfifo", [pipe]);
  const waiting = open(pipe, "r");
  const isOpening = (id: string) => readFileSync(`/proc/self/task/${id}/syscall`, "utf8").startsWith("257 ");
  let found: string | undefined;
  while (found === undefined) {
    await setTimeout(10);
    found = readdirSync("/proc/self/task").find(isOpening);
  }
  const other = openSync(pipe, "w");
  await (await waiting).close();
  closeSync(other);
  rmSync(pipe);
  return found;
}

function unmapAll(ioas: Ioas): void {
  try {
    ioas.unmapSync(0n, 64n * PAGE);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
