/** The addon in several threads at once, some of which end in the middle of a call. */

import { spawnSync } from "node:child_process";
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
      // Each conflicts with all others, and so waits for those before it.
      const statuses = await Promise.all([
        file.ioasMap(1, 7, memory, 0n, 4096n, 0n),
        file.ioasUnmap(1, 0n, 1n),
        file.ioasMapMany(1, 7, memory, none, none, none, true).then(({ status }) => status),
        file.ioasCopy(2, 1, 7, 4096n, 0n, 0n),
        file.ioasUnmapSync(1, 0n, 1n),
        file.destroy(2),
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

/** How a thread, or the program, ends while a wait of a worker is becoming ready. */
const ENDS = {
  "the worker is terminated": { worker: "", main: "writeSync(fd, one); worker.terminate();" },
  "the worker exits": { worker: "setImmediate(() => { signal(); process.exit(0); });", main: "" },
  "the worker throws": { worker: 'setImmediate(() => { signal(); throw new Error("meant"); });', main: "" },
  "the program exits": {
    worker: "",
    main: "writeSync(fd, one); if (++round === ROUNDS) process.exit(0); worker.terminate();",
  },
  "the wait is cancelled as the worker exits": {
    worker: "process.once('exit', () => { signal(); events.close(); }); setImmediate(() => process.exit(0));",
    main: "",
  },
};

it.runIf(process.platform === "linux").each(Object.entries(ENDS))(
  "ends no process where %s as a wait becomes ready",
  (_, { worker, main }) => {
    // In a process of its own: an exception of C++ in a callback of an event loop ends all of it.
    const script = `
      const { Worker } = require("node:worker_threads");
      const { writeSync } = require("node:fs");
      const ROUNDS = 60;
      const one = new BigUint64Array([1n]);
      let round = 0, left = ROUNDS;
      const source = \`
        const { parentPort } = require("node:worker_threads");
        const { writeSync } = require("node:fs");
        const addon = require(${JSON.stringify(ADDON)});
        const events = addon.createEventFd();
        const signal = () => writeSync(events.fd(), new BigUint64Array([1n]));
        (async () => { for (;;) { await events.readable(); events.readCount(); } })();
        parentPort.postMessage(events.fd());
        ${worker}\`;
      for (let running = 0; running < 3; running++) start();
      function start() {
        const worker = new Worker(source, { eval: true });
        worker.on("message", (fd) => { ${main} });
        worker.on("error", () => {});
        worker.on("exit", () => {
          if (--left === 0) process.exit(0);
          if (left >= 3) start();
        });
      }`;
    const { status, signal, stderr } = spawnSync(process.execPath, ["-e", script], {
      encoding: "utf8",
      timeout: 60_000,
    });
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
  },
  60_000,
);
