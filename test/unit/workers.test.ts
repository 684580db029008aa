/** The addon in several threads at once, some of which end in the middle of a call. */

import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";

const ADDON = fileURLToPath(new URL("../../build/Release/iommufd.node", import.meta.url));

/** Calls of every kind, on files and memory of the thread's own, with collections in between. */
const SCRIPT = `
  const { parentPort } = require("node:worker_threads");
  const addon = require(${JSON.stringify(ADDON)});
  const file = addon.openIommufd("/dev/null");
  const memory = addon.allocMemory(1n << 20n, 4096n, false);
  const none = new BigUint64Array(8);
  // A wait that the end of the thread may end.
  const waiting = addon.createEventFd();
  waiting.readable();
  (async () => {
    parentPort.postMessage("running");
    for (let round = 0; round < 300; round++) {
      const statuses = await Promise.all([
        file.ioasMap(1, 7, memory, 0n, 4096n, 0n),
        file.ioasUnmap(1, 0n, 1n),
        file.ioasMapMany(1, 7, memory, none, none, none, true).then(({ status }) => status),
      ]);
      if (statuses.some((status) => status !== -25)) throw new Error(String(statuses));
      const other = addon.allocMemory(8192n, 4096n, false);
      new Uint8Array(other.buffer())[0] = round;
      if (round % 2) other.close();
      const events = addon.createEventFd();
      const wait = events.readable();
      events.close();
      if (await wait) throw new Error("nothing was signalled");
      if (round % 50 === 0 && globalThis.gc) gc();
    }
    file.close();
    memory.close();
    waiting.close();
    parentPort.postMessage("done");
  })();
`;

it.runIf(process.platform === "linux")(
  "works in worker threads, and survives their end",
  async () => {
    const outcomes = Array.from({ length: 6 }, async (_, index) => {
      const worker = new Worker(SCRIPT, { eval: true });
      const messages: string[] = [];
      worker.on("message", (message) => messages.push(message));
      await once(worker, "message");
      if (index % 2) {
        await setTimeout(index);
        await worker.terminate();
        return "terminated";
      }
      await once(worker, "exit");
      return messages.at(-1);
    });
    expect(await Promise.all(outcomes)).toEqual(Array(3).fill(["done", "terminated"]).flat());
  },
  60_000,
);
