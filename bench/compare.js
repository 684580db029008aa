// What the benchmarks have in common: the C loop, compiled on the spot, and medians side by side.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("c-loop.cc", import.meta.url));
const BINARY = fileURLToPath(new URL("../build/bench/c-loop", import.meta.url));

/** Runs of each side (RUNS in the environment), taken in turn, so that both see the same machine. */
const RUNS = Number(process.env.RUNS ?? 7);

/** Compiles the C loop. */
export function compile() {
  mkdirSync(new URL("../build/bench", import.meta.url), { recursive: true });
  execFileSync(process.env.CXX ?? "c++", ["-std=c++17", "-O2", "-Wall", "-Wextra", "-o", BINARY, SOURCE], {
    stdio: "inherit",
  });
}

/** Nanoseconds per operation that the C loop says it took. */
export function cLoop(...args) {
  return Number(execFileSync(BINARY, args.map(String), { encoding: "utf8" }));
}

/** The same on a descriptor, which the C loop gets as number 3. */
export function cLoopOn(fd, name, ...args) {
  const stdio = ["ignore", "pipe", "inherit", fd];
  return Number(execFileSync(BINARY, [name, "3", ...args.map(String)], { encoding: "utf8", stdio }));
}

/** Nanoseconds per operation of a function that does `count` of them. */
export async function time(count, work) {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / count;
}

/** The same, once done before, so that what is measured is compiled code, as in a program that goes on for a while. */
export async function timeWarm(count, work) {
  await work();
  return time(count, work);
}

/** Compares one thing: `ours` and `theirs` each give nanoseconds per operation. Prints a line. */
export async function compare(name, ours, theirs, rival = "C") {
  const samples = { ours: [], theirs: [] };
  for (let run = 0; run < RUNS; run++) {
    samples.theirs.push(await theirs());
    samples.ours.push(await ours());
  }
  const [a, b] = [median(samples.ours), median(samples.theirs)];
  console.log(`${name.padEnd(40)} ${format(a)}  ${rival} ${format(b)}  ratio ${(a / b).toFixed(2)}`);
}

/** The one in the middle. */
export function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

function format(nanoseconds) {
  return `${nanoseconds >= 10_000 ? `${(nanoseconds / 1000).toFixed(1)} us` : `${nanoseconds.toFixed(0)} ns`}`.padStart(
    12,
  );
}
