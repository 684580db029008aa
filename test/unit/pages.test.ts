/**
 * Pages live as long as anything shows them: an ArrayBuffer that somebody else has moved, in this thread or another, or a
 * running read. Each case runs in a process of its own, because a mistake would end the process.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ADDON = fileURLToPath(new URL("../../build/Release/iommufd.node", import.meta.url));

/** The start of every case: both kinds of pages, and two ways to move an ArrayBuffer to another. */
const PRELUDE = `
  const fs = require("node:fs");
  const { Worker, isMainThread, parentPort } = require("node:worker_threads");
  const addon = require(${JSON.stringify(ADDON)});
  const LENGTH = 1 << 16;
  const file = "/tmp/iommufd-pages-" + process.pid;
  fs.writeFileSync(file, Buffer.alloc(LENGTH));
  const kinds = [
    () => addon.allocMemory(BigInt(LENGTH), 4096n, false),
    () => addon.allocMemory(BigInt(LENGTH), 4096n, true),
    () => addon.openVfioDevice(file).mapRegion(0n, BigInt(LENGTH), true),
  ];
  async function byStream(buffer) {
    const stream = new ReadableStream({ type: "bytes", pull: (controller) => controller.byobRequest.respond(1) });
    const { value } = await stream.getReader({ mode: "byob" }).read(new Uint8Array(buffer));
    return value.buffer;
  }
  const moves = [byStream, ...(ArrayBuffer.prototype.transfer ? [(buffer) => buffer.transfer()] : [])];
  const settle = async () => {
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      gc();
    }
  };
  const check = (what, condition) => { if (!condition) throw new Error(what); };
  const mapped = () => fs.readFileSync("/proc/self/maps", "utf8").split("\\n").filter((line) =>
    line.includes("memfd:iommufd") || line.includes(file)).length;
`;

/** Runs a case; it must end by itself, with nothing mapped that is not accounted for. */
function run(body: string): void {
  const script = `${PRELUDE}
    (async () => { ${body} })().then(() => { fs.rmSync(file, { force: true }); console.log("done"); });`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["--expose-gc", "-e", script], {
    encoding: "utf8",
    timeout: 60_000,
  });
  expect({ status, signal, stdout, stderr }).toEqual({
    status: 0,
    signal: null,
    stdout: "done\n",
    stderr: "",
  });
}

describe.runIf(process.platform === "linux")("pages", () => {
  it("stay where an ArrayBuffer on them was moved to, whatever is closed and collected, and go with it", () =>
    run(`
      for (const make of kinds) for (const move of moves) for (const first of ["close", "collect"]) {
        let handle = make();
        let moved = await move(handle.buffer());
        new Uint8Array(moved).fill(7);
        if (first === "close") handle.close();
        handle = undefined;
        await settle();
        check("the bytes are there", new Uint8Array(moved).every((byte) => byte === 7));
        moved = undefined;
        await settle();
      }
      check("nothing stays mapped: " + mapped(), mapped() === 0);`));

  it("are shown by a new ArrayBuffer once the last one was moved", () =>
    run(`
      const once = async (make, move) => {
        const handle = make();
        const moved = await move(handle.buffer());
        const again = handle.buffer();
        check("it is another one", again !== moved && again.byteLength === LENGTH);
        new Uint8Array(again)[5] = 9;
        check("on the same pages", new Uint8Array(moved)[5] === 9);
        check("the same each time", handle.buffer() === again);
        handle.close();
        check("it is detached", again.byteLength === 0 && moved.byteLength === LENGTH);
        handle.close();
        new Uint8Array(moved).fill(1);
      };
      for (const make of kinds) for (const move of moves) await once(make, move);
      await settle();
      await settle();
      check("nothing stays mapped: " + mapped(), mapped() === 0);`));

  it("stay where they were moved to another thread, when the thread that made them ends", () =>
    run(`
      for (const index of kinds.keys()) for (const move of moves) {
        const worker = new Worker(${JSON.stringify(PRELUDE)} + \`
          (async () => {
            const handle = kinds[\${index}]();
            const move = moves[\${moves.indexOf(move)}];
            const moved = await move(handle.buffer());
            new Uint8Array(moved).fill(7);
            try {
              parentPort.postMessage(moved, [moved]);
            } catch (error) {
              parentPort.postMessage(error.name);
            }
          })();\`, { eval: true });
        // Both may come at once.
        const { once } = require("node:events");
        const [[moved]] = await Promise.all([once(worker, "message"), once(worker, "exit")]);
        await settle();
        if (typeof moved === "string") continue;
        check("the bytes are there", new Uint8Array(moved).every((byte) => byte === 7));
        new Uint8Array(moved).fill(8);
      }`));

  it("leave their addresses to who still uses them: a read goes on into a detached ArrayBuffer", () =>
    run(`
      const { execFileSync } = require("node:child_process");
      const fifo = file + ".fifo";
      execFileSync("mkfifo", [fifo]);
      const reader = fs.openSync(fifo, fs.constants.O_RDWR);
      const handle = kinds[0]();
      const read = new Promise((resolve) => fs.read(reader, new Uint8Array(handle.buffer()), 0, LENGTH, null,
        (error, count) => resolve(error ?? count)));
      await settle();
      handle.close();
      check("the pages are gone: " + mapped(), mapped() === 0);
      await settle();
      const other = kinds[0]();
      const bytes = new Uint8Array(other.buffer()).fill(3);
      fs.writeSync(reader, Buffer.alloc(4096, 1));
      check("it was read somewhere", (await read) === 4096);
      check("and not into the next memory", bytes.every((byte) => byte === 3));
      other.close();
      fs.closeSync(reader);
      fs.rmSync(fifo);`));

  it("stay while the crypto of Node.js fills them on the pool", () =>
    run(`
      const { randomFill } = require("node:crypto");
      for (let round = 0; round < 20; round++) for (const make of kinds) {
        const handle = make();
        const filled = new Promise((resolve) => randomFill(handle.buffer(), resolve));
        handle.close();
        await filled;
      }
      await settle();
      check("nothing stays mapped: " + mapped(), mapped() === 0);`));
});
