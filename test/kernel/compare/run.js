// Makes random calls on the kernel and on a model of this machine, and compares every result and error; in the test machine.
//
//   node test/kernel/boot.js -- env IOMMUFD_FUZZ_CALLS=100000 node test/kernel/compare/run.js
//
// The run ends after IOMMUFD_FUZZ_CALLS calls (default 20,000), or IOMMUFD_FUZZ_SECONDS if that is sooner. IOMMUFD_FUZZ_SEED repeats a run.
// IOMMUFD_FUZZ_VERBOSE=1 lists how often each outcome came about.
//
// A third of the sequences are calls of the library's objects, and a fourth are made without privileges, under a limit of locked memory.
//
// The last line is "N calls, N succeeded, refused in N ways, seed N: N differences". With a difference the exit code is 1, and the
// shortest sequence that shows it is printed.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { inspect, isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { SoftwareMemory } from "../../../dist/backend/software/software-memory.js";
import {
  captureProfile,
  Iommufd,
  parseProfile,
  selectBackend,
  softwareMachine,
} from "../../../dist/index.js";
import { calls } from "./calls.js";
import { Draw, MEMORY_LENGTH, PAGE } from "./draw.js";
import { LEFT_OUT, objectCalls } from "./object-calls.js";
import { Side } from "./side.js";

const CALLS = Number(process.env.IOMMUFD_FUZZ_CALLS ?? 20_000);
const SECONDS = Number(process.env.IOMMUFD_FUZZ_SECONDS ?? Number.POSITIVE_INFINITY);
const SEED = Number(process.env.IOMMUFD_FUZZ_SEED ?? (Date.now() ^ (process.pid << 16)) | 0);
/** How many calls a sequence has at most. */
const LENGTH = 400;
/** After so many it ends. */
const MOST_DIFFERENCES = 10;
/** RLIMIT_MEMLOCK of the sequences without privileges. */
const MEMLOCK = 48n * PAGE;

const kernel = selectBackend({ backend: "kernel" });
const profile = capture();
const models = [softwareMachine(profile), softwareMachine({ ...profile, memlock: MEMLOCK })];
const bdfs = profile.devices.map(({ bdf }) => bdf);
const kernelMemory = kernel.backend.allocMemory({ length: MEMORY_LENGTH, pageSize: PAGE, anonymous: false });
/** The same memory in the model: where it is decides where mappings are placed. */
const modelMemory = new SoftwareMemory(addressOfMemory(), MEMORY_LENGTH);
execFileSync("prlimit", ["--pid", `${process.pid}`, `--memlock=${MEMLOCK}:${MEMLOCK}`]);

/** The two answered otherwise. */
class Difference extends Error {}

/** How often each outcome came about. @type {Map<string, number>} */
const outcomes = new Map();
let made = 0;

const sequences = fc.noBias(
  fc.record({
    ordinary: fc.noShrink(fc.integer({ min: 0, max: 3 })).map((value) => value === 0),
    objects: fc.noShrink(fc.integer({ min: 0, max: 2 })).map((value) => value === 0),
    numbers: fc.array(fc.noShrink(fc.integer()), { minLength: 1, maxLength: LENGTH, size: "max" }),
  }),
);

const started = Date.now();
const timeLeft = () => SECONDS * 1000 - (Date.now() - started);
/** The differences that were found, by what differed; a sequence that comes to one of them again is over. @type {Set<string>} */
const differences = new Set();
for (let round = 0; made < CALLS && timeLeft() > 0 && differences.size < MOST_DIFFERENCES; round++) {
  const numRuns = Math.ceil(((CALLS - made) / LENGTH) * 2);
  const limit = Number.isFinite(SECONDS) ? { interruptAfterTimeLimit: timeLeft() } : {};
  const details = await fc.check(
    fc.asyncProperty(sequences, async (sequence) => {
      const difference = await firstDifference(sequence);
      if (difference !== undefined && !differences.has(difference)) throw new Difference(difference);
    }),
    { seed: SEED + round, numRuns, ...limit },
  );
  if (!details.failed || details.counterexample === null) continue;
  const { ordinary, objects, numbers } = details.counterexample[0];
  console.log(`differs, ${ordinary ? "without" : "with"} privileges, seed ${SEED} (round ${round}):`);
  for (const number of numbers) console.log(`  ${textOf(stepOf(number, objects))}`);
  if (!(details.errorInstance instanceof Difference)) throw details.errorInstance;
  console.log(details.errorInstance.message);
  differences.add(details.errorInstance.message);
}
const successes = outcomes.get("success") ?? 0;
if (process.env.IOMMUFD_FUZZ_VERBOSE)
  console.log(
    [...outcomes]
      .sort((a, b) => b[1] - a[1])
      .map((each) => each.join(" "))
      .join("\n"),
  );
console.log(
  `${made} calls, ${successes} succeeded, refused in ${outcomes.size - 1} ways, seed ${SEED}: ${differences.size} differences`,
);
process.exitCode = differences.size > 0 ? 1 : 0;

/** Both outcomes of the first call that differs; undefined: none does. */
async function firstDifference({ ordinary, objects, numbers }) {
  const real = new Side(kernel, kernelMemory, bdfs, ordinary);
  const modelled = new Side(models[ordinary ? 1 : 0], modelMemory, bdfs, ordinary);
  try {
    for (const number of numbers) {
      const { name: callName, call, values } = stepOf(number, objects);
      const answers = [real, modelled].map((side) => side.outcome((self) => call(self, ...values)));
      const [answer, other] = await Promise.all(answers);
      if (answer === LEFT_OUT && other === LEFT_OUT) continue;
      made++;
      const name = typeof answer === "string" && answer !== "done" ? answer : "success";
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
      if (!isDeepStrictEqual(answer, other)) {
        const differing = [answer, other].map((each) =>
          inspect(each, { breakLength: Number.POSITIVE_INFINITY }),
        );
        return `${callName}\nkernel: ${differing[0]}\nmodel:  ${differing[1]}`;
      }
    }
  } finally {
    real.close();
    modelled.close();
  }
  return undefined;
}

/** The call that a number makes. */
function stepOf(number, objects) {
  const draw = new Draw(number);
  const kinds = objects ? objectCalls : calls;
  const whole = kinds.reduce((sum, { weight }) => sum + weight, 0);
  let left = draw.next() * whole;
  const chosen = kinds.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  if (chosen === undefined) throw new Error("no call has a weight");
  return { name: chosen.name, call: chosen.call, values: chosen.values(draw) };
}

function textOf({ name, values }) {
  return `${name}(${values.map((value) => inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 4 })).join(", ")})`;
}

/** This machine, as a profile. */
function capture() {
  const iommufd = Iommufd.open(kernel);
  const words = { name: "captured", description: "" };
  const captured = captureProfile(iommufd, iommufd.devices().slice(0, 2), words);
  iommufd.close();
  return parseProfile(captured);
}

function addressOfMemory() {
  const line = readFileSync("/proc/self/maps", "utf8").match(/^([0-9a-f]+)-\S+ .*memfd:iommufd/m);
  return BigInt(`0x${line?.[1]}`);
}
