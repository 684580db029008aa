/** The NVMe driver of examples/nvme on a controller in memory: what it does when all goes well. */

import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { Controller } from "../../../examples/nvme/controller.ts";
import { randomReads } from "../../../examples/nvme/load.ts";
import type { ControllerOptions } from "../../../examples/nvme/options.ts";
import { FakeController, type FakeOptions } from "./fake-controller.ts";

const open: Controller[] = [];
afterEach(async () => {
  for (const controller of open.splice(0)) await controller.close();
});

async function start(fakeOptions: FakeOptions = {}, options: ControllerOptions = {}) {
  const fake = new FakeController(fakeOptions);
  const controller = await Controller.start(fake.transport(), options);
  open.push(controller);
  return { fake, controller };
}

const disk = (length: number, blockSize = 512) => ({ bytes: new Uint8Array(randomBytes(length)), blockSize });

const CREATE_COMPLETION_QUEUE = 5;

describe.each(["interrupts", "polling"] as const)("by %s", (completions) => {
  it("reads and writes what is there, at any alignment and length, with many under way", async () => {
    const disks = { 1: disk(1 << 20), 2: disk(1 << 19, 4096) };
    const expected = { 1: disks[1].bytes.slice(), 2: disks[2].bytes.slice() };
    const { controller } = await start({ disks }, { completions, depth: 8 });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<1 | 2>(1, 2),
        fc.array(
          fc.record({ write: fc.boolean(), count: fc.nat({ max: 300 }), offset: fc.nat({ max: 1100 }) }),
          {
            minLength: 1,
            maxLength: 20,
          },
        ),
        async (id, requests) => {
          const namespace = await controller.namespace(id);
          const { blockSize } = namespace;
          // Requests of their own blocks each, for those of the same blocks have no order.
          const span = Math.floor(namespace.blocks / requests.length);
          await Promise.all(
            requests.map(async (request, index) => {
              const count = Math.min(request.count, span);
              const [at, offset, length] = [index * span, request.offset * 4, count * blockSize];
              const buffer = await controller.allocate(offset + length + 4);
              buffer.bytes.fill(0xa5);
              const data = buffer.bytes.subarray(offset, offset + length);
              const blocks = expected[id].subarray(at * blockSize, at * blockSize + length);
              if (request.write) {
                blocks.set(randomBytes(length));
                data.set(blocks);
                await namespace.writeBlocks(at, count, buffer, offset);
                data.fill(0);
              }
              await namespace.readBlocks(at, count, buffer, offset);
              expect(Buffer.compare(data, blocks)).toBe(0);
              // Nothing beside it was touched.
              const beside = [...buffer.bytes.subarray(0, offset), ...buffer.bytes.subarray(offset + length)];
              expect(beside.every((byte) => byte === 0xa5)).toBe(true);
              buffer.close();
            }),
          );
          await namespace.flush();
          expect(Buffer.compare(disks[id].bytes, expected[id])).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
    expect(controller.resets).toBe(0);
  });
});

it("reads the identity, and how much the controller grants", async () => {
  const { controller } = await start({ queues: 5, interrupts: 4, entries: 16 });
  expect(controller.identity).toMatchObject({
    serial: "fake-0001",
    model: "Controller in memory",
    volatileWriteCache: true,
    transferPages: 32,
  });
  // Four interrupts: one for the admin queue, three for queues.
  expect(controller.configuration).toEqual({
    queues: 3,
    depth: 16,
    transfer: 128 << 10,
    completions: "interrupts",
  });
  expect(await controller.namespaces()).toEqual([1]);
});

it("gives each queue an interrupt of its own; with a single one, that to all; without any, it polls", async () => {
  const vectorsOf = async (interrupts: number) => {
    const { fake, controller } = await start({ queues: 4, interrupts });
    const namespace = await controller.namespace(1);
    const buffer = await controller.allocate(512);
    await namespace.readBlocks(0, 1, buffer);
    const made = fake.fetched.filter(
      ({ opcode, queue }) => queue === 0 && opcode === CREATE_COMPLETION_QUEUE,
    );
    return made.map(({ words: [, flags = 0] }) => (flags & 2 ? flags >>> 16 : "none"));
  };
  expect(await vectorsOf(5)).toEqual([1, 2, 3, 4]);
  expect(await vectorsOf(3)).toEqual([1, 2]);
  expect(await vectorsOf(1)).toEqual([0]);
  expect(await vectorsOf(0)).toEqual(["none", "none", "none", "none"]);
});

it("keeps more requests than its queues take, and uses all queues, doorbells apart", async () => {
  const { fake, controller } = await start({ queues: 3, interrupts: 4, entries: 4, stride: 3 });
  const namespace = await controller.namespace(1);
  const buffer = await controller.allocate(100 * 512);
  await Promise.all(
    Array.from({ length: 100 }, (_, index) => namespace.readBlocks(index, 1, buffer, index * 512)),
  );
  const queues = new Set(fake.fetched.map(({ queue }) => queue));
  expect([...queues].sort()).toEqual([0, 1, 2, 3]);
});

it("splits what is longer than a command may be", async () => {
  const { fake, controller } = await start({ transferExponent: 1 });
  const namespace = await controller.namespace(1);
  const buffer = await controller.allocate(1 << 20);
  await namespace.readBlocks(0, namespace.blocks, buffer);
  const reads = fake.fetched.filter(({ queue, opcode }) => queue > 0 && opcode === 2);
  expect(reads.map(({ words: [, , count = 0] }) => count + 1)).toEqual(new Array(128).fill(16));
  // No limit of the controller's: the driver has its own.
  const { controller: other } = await start({ transferExponent: 0 });
  expect(other.configuration.transfer).toBe(256 << 10);
});

it("gives back all memory, and tells the controller to shut down", async () => {
  const { fake, controller } = await start();
  const kept = await controller.allocate(8192);
  const closed = await controller.allocate(8192);
  closed.close();
  closed.close();
  const { bytes } = kept;
  await Promise.all([controller.close(), controller.close()]);
  expect(fake.shutdowns).toBe(1);
  expect(bytes.length).toBe(0);
  expect(fake.iommufd.closed).toBe(true);
  await expect(controller.namespaces()).rejects.toMatchObject({ code: "ERR_NVME_CLOSED" });
  await expect(controller.command({ opcode: 0 })).rejects.toMatchObject({ code: "ERR_NVME_CLOSED" });
  await expect(controller.allocate(1)).rejects.toThrow("closed");
});

it("lets what is under way end before it closes, and takes no more", async () => {
  const { fake, controller } = await start({}, { depth: 4 });
  const namespace = await controller.namespace(1);
  const buffer = await controller.allocate(64 * 512);
  const reads = Array.from({ length: 64 }, (_, index) => namespace.readBlocks(index, 1, buffer, index * 512));
  const end = controller.close();
  await expect(namespace.readBlocks(0, 1, buffer)).rejects.toMatchObject({ code: "ERR_NVME_CLOSED" });
  await Promise.all([...reads, end]);
  expect(fake.fetched.filter(({ queue }) => queue > 0).length).toBe(64);
});

describe("a range", () => {
  it("is read piece by piece, in order, and can be left", async () => {
    const disks = { 1: disk(1 << 20) };
    const { controller } = await start({ disks });
    const namespace = await controller.namespace(1);
    const pieces: Buffer[] = [];
    for await (const piece of namespace.read(3, 1001, { blocks: 10, inFlight: 4 }))
      pieces.push(Buffer.from(piece));
    expect(pieces.length).toBe(101);
    const expected = disks[1].bytes.subarray(3 * 512, 1004 * 512);
    expect(Buffer.compare(Buffer.concat(pieces), expected)).toBe(0);
    for await (const piece of namespace.read()) {
      expect(Buffer.compare(piece, disks[1].bytes.subarray(0, piece.length))).toBe(0);
      break;
    }
    expect(controller.idle).toBe(true);
  });

  it("is written as it comes", async () => {
    const disks = { 1: disk(1 << 20) };
    const { controller } = await start({ disks });
    const namespace = await controller.namespace(1);
    const data = randomBytes(700 * 512);
    async function* source() {
      for (let at = 0, length = 1; at < data.length; at += length, length = (length * 7) % 9001)
        yield data.subarray(at, at + length);
    }
    expect(await namespace.write(5, source(), { blocks: 16, inFlight: 3 })).toBe(700);
    expect(Buffer.compare(disks[1].bytes.subarray(5 * 512, 705 * 512), data)).toBe(0);
    async function* odd() {
      yield new Uint8Array(700);
    }
    await expect(namespace.write(0, odd())).rejects.toThrow("the input ends 188 bytes into a block of 512");
    async function* long() {
      yield new Uint8Array(3 * 512);
    }
    await expect(namespace.write(namespace.blocks - 2, long())).rejects.toThrow(
      "the input has more than the 2 blocks from block 2046 on",
    );
  });
});

it("refuses what is out of range, in one line", async () => {
  const { controller } = await start();
  const namespace = await controller.namespace(1);
  const buffer = await controller.allocate(4096);
  for (const [attempt, message] of [
    [
      () => namespace.readBlocks(2048, 1, buffer),
      "blocks 2048 to 2048 are not all in namespace 1, which has 2048",
    ],
    [() => namespace.readBlocks(-1, 1, buffer), "must be integers of 0 or more, received -1 and 1"],
    [() => namespace.readBlocks(0, 1.5, buffer), "must be integers of 0 or more, received 0 and 1.5"],
    [
      () => namespace.readBlocks(0, 9, buffer),
      "9 blocks of 512 bytes do not fit at offset 0 of a buffer of 4096",
    ],
    [() => namespace.writeBlocks(0, 1, buffer, 2), "the offset must be a multiple of 4"],
    [() => namespace.writeBlocks(0, 1, buffer, Number.NaN), "the offset must be a multiple of 4"],
  ] as const)
    expect(attempt).toThrow(message);
  await expect(controller.namespace(9)).rejects.toThrow("the controller has no namespace 9");
  await expect(start({ entries: 8 }, { depth: 9 })).rejects.toThrow(
    "depth must be an integer from 2 to 8, received 9",
  );
  await expect(start({}, { queues: 0 })).rejects.toThrow(
    "queues must be an integer from 1 to 65535, received 0",
  );
});

it("refuses namespaces with blocks that it cannot move", async () => {
  const disks = { 1: disk(1 << 20, 256), 2: disk(1 << 20, 1 << 18), 3: disk(1 << 20, 1 << 17) };
  const { controller } = await start({ disks });
  for (const [id, size] of [
    [1, 256],
    [2, 1 << 18],
  ] as const)
    await expect(controller.namespace(id)).rejects.toThrow(
      `namespace ${id} has blocks of ${size} bytes; this driver moves those of 512 to 131072`,
    );
  expect((await controller.namespace(3)).blocks).toBe(8);
});

it("measures", async () => {
  const { controller } = await start({}, { completions: "polling" });
  const namespace = await controller.namespace(1);
  const measured = await randomReads(controller, namespace, { depth: 8, seconds: 0.05 });
  expect(measured.reads).toBeGreaterThan(0);
  expect(controller.idle).toBe(true);
});
