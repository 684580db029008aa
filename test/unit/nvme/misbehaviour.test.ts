/** The NVMe driver of examples/nvme on a controller that misbehaves: what it does about that, and what it leaves behind. */

import { setTimeout } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { Controller } from "../../../examples/nvme/controller.ts";
import type { ControllerOptions } from "../../../examples/nvme/options.ts";
import { FakeController, type FakeOptions, type Fetched } from "./fake-controller.ts";

const [READ, ABORT] = [2, 8];
/** How long a command may take where that is the point, in milliseconds. */
const TIMEOUT = 400;
const impatient = { timeout: TIMEOUT };

const open: Controller[] = [];
afterEach(async () => {
  for (const controller of open.splice(0)) await controller.close();
});

async function start(fakeOptions: FakeOptions = {}, options: ControllerOptions = {}) {
  const fake = new FakeController(fakeOptions);
  const controller = await Controller.start(fake.transport(), options);
  open.push(controller);
  const namespace = await controller.namespace(1);
  const buffer = await controller.allocate(64 * 512);
  return { fake, controller, namespace, buffer };
}

const isRead = ({ queue, opcode }: Fetched) => queue > 0 && opcode === READ;
const isAbort = ({ queue, opcode }: Fetched) => queue === 0 && opcode === ABORT;

describe("a command", () => {
  it("that fails ends with its status by name, and the others go on", async () => {
    const { fake, namespace, buffer, controller } = await start();
    fake.misdeed = (command) => (isRead(command) && command.words[0] === 3 ? { status: 0x281 } : undefined);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) => namespace.readBlocks(index, 1, buffer, index * 512)),
    );
    expect(outcomes.map(({ status }) => status).filter((status) => status === "fulfilled").length).toBe(7);
    expect(outcomes[3]).toMatchObject({
      reason: {
        code: "ERR_NVME_STATUS",
        status: { type: 2, code: 0x81 },
        message:
          "read of blocks 3 to 3 of namespace 1: Unrecovered Read Error (status code type 2, status code 0x81)",
      },
    });
    expect(controller.resets).toBe(0);
  });

  it("whose data is outside of what is mapped is stopped by the IOMMU, and the driver goes on", async () => {
    const { controller, namespace, buffer } = await start();
    const words = [0, 0, 7];
    for (const iova of [0x7_0000_0000, buffer.iova + buffer.bytes.length - 2048])
      await expect(
        controller.command({ opcode: READ, namespace: 1, data: { iova, length: 4096 }, words }),
      ).rejects.toMatchObject({ status: { type: 0, code: 4 } });
    await namespace.readBlocks(0, 8, buffer);
  });

  it("is found without its interrupt, when the watch looks", async () => {
    const { fake, namespace, buffer, controller } = await start({}, impatient);
    fake.silent = true;
    await namespace.readBlocks(0, 1, buffer);
    expect(fake.fetched.filter(isAbort)).toEqual([]);
    expect(controller.resets).toBe(0);
  });

  it("that takes too long is aborted; where that does not help the controller is reset, and works on", async () => {
    const { fake, namespace, buffer, controller } = await start({}, impatient);
    let dropped = 0;
    fake.misdeed = (command) => (isRead(command) && dropped++ === 0 ? "drop" : undefined);
    const late = namespace.readBlocks(0, 1, buffer);
    await expect(late).rejects.toMatchObject({
      code: "ERR_NVME_RESET",
      message: expect.stringMatching(
        /^read of blocks 0 to 0 of namespace 1: the controller was reset: read of blocks 0 to 0 of namespace 1 took longer than 400 ms, and so did aborting it$/,
      ),
    });
    expect(fake.fetched.filter(isAbort).length).toBe(1);
    expect(controller.resets).toBe(1);
    await namespace.readBlocks(0, 64, buffer);
  });

  it("that is aborted ends with the controller's word for that", async () => {
    const { fake, namespace, buffer, controller } = await start({}, impatient);
    let held: Fetched | undefined;
    fake.misdeed = (command) => {
      if (isRead(command) && held === undefined) {
        held = command;
        return "drop";
      }
      // A controller that aborts completes the command, too.
      if (isAbort(command) && held !== undefined) void fake.complete(held.queue, held.id, 0x07);
      return undefined;
    };
    await expect(namespace.readBlocks(0, 1, buffer)).rejects.toMatchObject({ status: { type: 0, code: 7 } });
    expect(controller.resets).toBe(0);
  });
});

describe("a controller", () => {
  it("that fails (CFS) is reset; what waited is done afterwards, what was under way is not known", async () => {
    const { fake, namespace, buffer, controller } = await start({ queues: 1 }, { depth: 4, ...impatient });
    fake.misdeed = (command) => {
      if (isRead(command)) fake.fatal = true;
      return undefined;
    };
    const reads = Array.from({ length: 10 }, (_, index) =>
      namespace.readBlocks(index, 1, buffer, index * 512),
    );
    setTimeout(TIMEOUT / 5).then(() => {
      fake.misdeed = () => undefined;
    });
    const outcomes = await Promise.allSettled(reads);
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(lost.length).toBeGreaterThan(0);
    for (const { reason } of lost) expect(reason).toMatchObject({ code: "ERR_NVME_RESET" });
    expect(outcomes.slice(3).every(({ status }) => status === "fulfilled")).toBe(true);
    expect(controller.resets).toBe(1);
  });

  it("that does not stop has its function reset", async () => {
    const { fake, namespace, buffer, controller } = await start();
    fake.stuck = true;
    await controller.reset();
    expect(fake.functionResets).toBe(1);
    await namespace.readBlocks(0, 1, buffer);
  });

  it("that cannot be reset is given up: all ends, all DMA is blocked, all memory is free", async () => {
    const { fake, namespace, buffer, controller } = await start();
    [fake.stuck, fake.resettable] = [true, false];
    fake.misdeed = () => "drop";
    const { bytes } = buffer;
    const read = namespace.readBlocks(0, 1, buffer);
    await expect(controller.reset()).rejects.toMatchObject({ code: "ERR_NVME_FAILED" });
    await expect(read).rejects.toMatchObject({ code: "ERR_NVME_FAILED" });
    expect(bytes.length).toBe(0);
    expect(fake.iommufd.closed).toBe(true);
    expect(() => namespace.readBlocks(0, 1, buffer)).toThrow(RangeError);
    await expect(namespace.flush()).rejects.toMatchObject({ code: "ERR_NVME_FAILED" });
  });

  it("that is gone is given up", async () => {
    const { fake, namespace, buffer } = await start({}, impatient);
    fake.misdeed = () => "drop";
    const read = namespace.readBlocks(0, 1, buffer);
    fake.gone = true;
    await expect(read).rejects.toThrow("the controller is gone");
  });

  it("that completes what nobody asked for is reset", async () => {
    const { fake, namespace, buffer, controller } = await start({}, impatient);
    await fake.complete(1, 5, 0);
    while (controller.resets === 0) await setTimeout(1);
    await namespace.readBlocks(0, 1, buffer);
    expect(controller.resets).toBe(1);
  });

  it("that answers nothing from the start is given up, and leaves nothing behind", async () => {
    for (const spoil of [
      (fake: FakeController) => {
        fake.misdeed = () => "drop";
      },
      (fake: FakeController) => {
        fake.gone = true;
      },
      (fake: FakeController) => {
        fake.stuck = true;
      },
    ]) {
      const fake = new FakeController();
      spoil(fake);
      const attempt = Controller.start(fake.transport(), impatient);
      await expect(attempt).rejects.toMatchObject({ code: "ERR_NVME_FAILED" });
      expect(fake.iommufd.closed).toBe(true);
    }
  });

  it("that does not shut down is closed all the same, and that is told", async () => {
    const { fake, controller } = await start();
    open.pop();
    fake.gone = true;
    await expect(controller.close()).rejects.toThrow("the controller is gone");
    expect(fake.iommufd.closed).toBe(true);
  });

  it("can be reset again and again, with requests under way, without a leak", async () => {
    const { fake, namespace, buffer, controller } = await start({ queues: 2 }, { depth: 8 });
    const buffers = controller.buffers;
    for (let count = 0; count < 30; count++) {
      const reads = Array.from({ length: 20 }, (_, index) =>
        namespace.readBlocks(index, 1, buffer, index * 512),
      );
      const settled = Promise.allSettled(reads);
      if (count % 2) await new Promise((resolve) => setImmediate(resolve));
      const reset = controller.reset();
      // The driver waits until the controller is ready again.
      expect(await controller.namespaces()).toEqual([1]);
      await reset;
      for (const outcome of await settled)
        if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "ERR_NVME_RESET" });
    }
    expect(controller.resets).toBe(30);
    expect(controller.buffers).toBe(buffers);
    expect(fake.functionResets).toBe(0);
    await namespace.readBlocks(0, 64, buffer);
  });
});
