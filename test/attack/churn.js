/**
 * `npm run test:churn -- ROUNDS`: worker threads that load the addon, use it and end in every way, with forced collections, under
 * the sanitizers. Nobody else in the process loads it, so it is unloaded whenever there are none. Default: 1000. Prints the figures;
 * exit status 1: something stayed behind, or memory grew.
 *
 * AddressSanitizer would hide what grows, so the script in package.json turns two things of it down. It remembers each global of a
 * library for ever, about 0.3 MiB each time that the addon is loaded again (report_globals=0), and it keeps what is freed until
 * that is 256 MiB (quarantine_size_mb=16). Without them a process whose workers load this addon grows as one whose workers load
 * nothing.
 */

import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { census, leftovers } from "./census.js";

const AT_A_TIME = 3;
/** Every so many rounds all workers have ended, and the addon is unloaded. */
const TOGETHER = 60;
/** After so many rounds V8's heaps and the quarantine have their size; memory is measured from there. */
const WARM_UP = 304;
/**
 * Growth that is allowed: V8's own ups and downs, and the growth of workers that load nothing (9 KiB each, over 1200 of
 * them).
 */
const GROWTH_MIB = 16;
const GROWTH_PER_WORKER_KIB = 12;
const ENDS = ["return", "exit", "throw", "terminate"];

/** CommonJS, which starts sooner than modules. The environment closes whatever is left open. */
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

const residentMiB = () => process.memoryUsage.rss() / 2 ** 20;

const start = performance.now();
await churn(0, Math.min(rounds, 4));
const before = census();
let warm = residentMiB();
for (let done = 4; done < rounds; done += TOGETHER) {
  await churn(done, Math.min(rounds, done + TOGETHER));
  if (done < WARM_UP) warm = residentMiB();
}
const left = await leftovers(before, 0);
const measured = Math.max(0, rounds - WARM_UP);
const grown = residentMiB() - warm;
if (measured > 0 && grown > GROWTH_MIB + (measured * GROWTH_PER_WORKER_KIB) / 1024) {
  left.push(`memory: ${grown.toFixed(0)} MiB more after ${measured} workers`);
}
console.log(
  `churn: Node.js ${process.version}, ${rounds} workers in ${((performance.now() - start) / 1000).toFixed(0)} s, ` +
    `resident ${warm.toFixed(0)} MiB after the first ${Math.min(rounds, WARM_UP)} and ${residentMiB().toFixed(0)} at the end, ` +
    `${left.length} left behind`,
);
for (const line of left) console.error(line);
process.exitCode = left.length === 0 ? 0 : 1;
