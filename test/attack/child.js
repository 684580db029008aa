/**
 * One process of the attack: child.js SEED DIRECTORY. Starts workers that attack and end, attacks itself meanwhile, counts
 * what is left behind, and ends with workers and waits still there.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Random } from "../random.js";
import { Attacker, Finding } from "./attacker.js";
import { census, leftovers } from "./census.js";
import { exhaust } from "./descriptor-actions.js";

/** How often workers are started, and how many at a time. */
const ROUNDS = 4;
const AT_A_TIME = 3;
/** The exit status that says that this process has told a finding; the sanitizers have another. */
const FOUND = 98;

const [seed, directory] = [Number(process.argv[2]), process.argv[3]];
const random = new Random(seed);
const figures = { calls: 0, errors: 0, transfers: 0, truncations: 0, closes: 0, collections: 0, workers: 0 };
const moved = new Int32Array(new SharedArrayBuffer(4));
let started = 0;

const add = (more) => {
  for (const name of Object.keys(more)) figures[name] += more[name];
};

/** Starts a worker; resolves once it has ended. */
function work(end, calls) {
  const workerData = {
    ...{ end, calls, directory, thread: `worker-${started++}`, seed: random.below(2 ** 32) },
    isReady: random.percent(60),
    usesLibrary: random.percent(25),
    passDescriptors: end === "finish",
    moved,
  };
  const worker = new Worker(new URL("worker.js", import.meta.url), { workerData });
  figures.workers++;
  const ended = new Promise((resolve, reject) => {
    worker.on("message", ({ finding, figures: more }) => {
      if (finding !== undefined) reject(new Finding(finding));
      else add(more);
      if (end === "terminate" && more) setTimeout(random.below(20)).then(() => worker.terminate());
    });
    worker.on("error", (error) => {
      if (error.message !== "on purpose") reject(error);
    });
    worker.on("exit", resolve);
  });
  if (end === "terminate" && random.percent(30)) setTimeout(random.below(300)).then(() => worker.terminate());
  return ended;
}

const ENDS = ["finish", "exit", "throw", "terminate", "terminate"];

async function run() {
  writeFileSync(join(directory, "attack-region"), new Uint8Array(1 << 16));
  // In some processes only workers load the addon: then it is unloaded with the last of them.
  const isLoadedHere = random.percent(70);
  await work("finish", 0);
  const attacker = isLoadedHere ? newAttacker() : undefined;
  attacker?.externals();
  const before = census();
  for (let round = 0; round < ROUNDS; round++) {
    const workers = Array.from({ length: AT_A_TIME }, () => work(random.pick(ENDS), random.below(200)));
    await Promise.all([...workers, attacker?.run(random.below(200))]);
  }
  if (attacker !== undefined) {
    exhaust(attacker);
    add(await attacker.finish());
  }
  const left = await leftovers(before, Atomics.load(moved, 0));
  if (left.length > 0) throw new Finding(`left behind:\n${left.join("\n")}`);
  writeFileSync(join(directory, "figures.json"), JSON.stringify(figures));
  await end(attacker);
}

function newAttacker() {
  return new Attacker({ seed: random.below(2 ** 32), directory, thread: "main", passDescriptors: true });
}

/** Ends in some way while workers attack and wait, and so does this thread. */
async function end(attacker) {
  const workers = [work("terminate", 50), work("exit", random.below(100))];
  for (const worker of workers) worker.catch(fail);
  await setTimeout(random.below(400));
  if (attacker !== undefined) {
    for (let left = random.below(50); left > 0; left--) attacker.step();
    if (random.percent(70)) attacker.endWhileReady();
  }
  if (random.percent(20)) await Promise.all(workers);
  process.exit(0);
}

function fail(error) {
  console.error(`finding: ${error instanceof Finding ? error.message : error.stack}`);
  process.exit(FOUND);
}

process.on("uncaughtException", fail);
run().catch(fail);
