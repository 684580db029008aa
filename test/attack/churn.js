/**
 * `npm run test:churn -- ROUNDS`: worker threads that load the addon, use it and end in every way, with forced collections, under
 * the sanitizers. Nobody else in the process loads it, so it is unloaded whenever there are none. Default: 1000. Prints the figures;
 * exit status 1: something stayed behind.
 */

import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { census, leftovers } from "./census.js";

const AT_A_TIME = 3;
/** Every so many rounds all workers have ended, and the addon is unloaded. */
const TOGETHER = 60;
const ENDS = ["return", "exit", "throw", "terminate"];

/** CommonJS, which starts sooner than modules. What is left open is the environment's to close. */
const SCRIPT = `
  const { parentPort, workerData: { addonPath, end } } = require("node:worker_threads");
  const addon = require(addonPath);
  const file = addon.openIommufd("/dev/null");
  const memory = addon.allocMemory(65536n, 4096n, false);
  const event = addon.createEventFd();
  new Uint8Array(memory.buffer()).fill(1);
  const calls = [file.ioasMap(1, 7, memory, 0n, 4096n, 0n), memory.prefault(), event.readable()];
  gc({ type: "minor" });
  const lasting = addon.allocMemory(8192n, 4096n, true).buffer();
  require("node:fs").writeSync(event.fd(), new BigUint64Array([1n]));
  if (end === "exit") process.exit(3);
  if (end === "throw") throw new Error("on purpose");
  if (end === "terminate") {
    parentPort.postMessage("now");
    setInterval(() => file.ioasUnmap(1, 0n, 4096n), 1);
  } else Promise.all(calls).then(() => { memory.close(); event.close(); file.close(); });
`;

const rounds = Number(process.argv[2] ?? 1000);
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  console.error(`churn: the number of rounds must be a positive integer, received ${process.argv[2]}`);
  process.exit(2);
}

/** One worker; resolves once it has ended. */
function round(number) {
  const end = ENDS[number % ENDS.length];
  const addonPath = fileURLToPath(new URL("../../build/Release/iommufd.node", import.meta.url));
  const worker = new Worker(SCRIPT, { eval: true, workerData: { addonPath, end } });
  return new Promise((resolve, reject) => {
    worker.on("message", () => worker.terminate());
    worker.on("error", (error) => {
      if (error.message !== "on purpose") reject(error);
    });
    worker.on("exit", resolve);
  });
}

/** So many rounds, several at a time. */
async function churn(from, to) {
  let next = from;
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      while (next < to) await round(next++);
    }),
  );
  globalThis.gc?.();
}

const start = performance.now();
await churn(0, Math.min(rounds, 4));
const before = census();
const residentBefore = process.memoryUsage.rss();
for (let done = 4; done < rounds; done += TOGETHER) await churn(done, Math.min(rounds, done + TOGETHER));
const left = await leftovers(before, 0);
const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(0);
console.log(
  `churn: Node.js ${process.version}, ${rounds} workers in ${((performance.now() - start) / 1000).toFixed(0)} s, ` +
    `resident ${mebibytes(residentBefore)} MiB after the first and ${mebibytes(process.memoryUsage.rss())} at the end, ` +
    `${left.length} left behind`,
);
for (const line of left) console.error(line);
process.exitCode = left.length === 0 ? 0 : 1;
