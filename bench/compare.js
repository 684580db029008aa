// The common parts of the benches: two sides that take turns, block by block, and a row of the table for each comparison.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import koffi from "koffi";

const SOURCE = fileURLToPath(new URL("c-loop.cc", import.meta.url));
const LIBRARY = fileURLToPath(new URL("../build/bench/c-loop.so", import.meta.url));

/** Compiles the C side. */
export function compile() {
  mkdirSync(new URL("../build/bench", import.meta.url), { recursive: true });
  const options = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden", "-shared", "-fPIC"];
  execFileSync(process.env.CXX ?? "c++", [...options, "-o", LIBRARY, SOURCE, "-pthread"], {
    stdio: "inherit",
  });
}

/** The functions of the C side, in this process: with our descriptors and our memory. */
export function loadC() {
  const library = koffi.load(LIBRARY);
  return {
    refused: library.func("double Refused(int fd, int64_t count)"),
    refusedAlone: library.func("double RefusedAlone(int fd, int64_t count)"),
    mapUnmap: library.func(
      "double MapUnmap(int iommufd, uint32_t ioas_id, void* memory, uint64_t length, int64_t count)",
    ),
    mapThenUnmap: library.func(
      "double MapThenUnmap(int iommufd, uint32_t ioas_id, void* memory, uint64_t length, int64_t count)",
    ),
    getHwInfo: library.func("double GetHwInfo(int iommufd, uint32_t device_id, int64_t count)"),
    getDirtyBitmap: library.func(
      "double GetDirtyBitmap(int iommufd, uint32_t hwpt_id, uint64_t iova, uint64_t length, int64_t count)",
    ),
    startSignals: library.func("void StartSignals(int fd, int64_t count)"),
    takeSignal: library.func("double TakeSignal()"),
    takeSignals: library.func("void TakeSignals(int fd, int64_t count, _Out_ double* nanoseconds)"),
    waitAndRead: library.func("double WaitAndRead(int fd, int64_t count)"),
  };
}

/** Functions of the C library, as koffi calls them. */
export function loadLibc() {
  const library = koffi.load(null);
  return {
    ioctl: library.func("int ioctl(int fd, unsigned long request, void* argument)"),
    write: library.func("long write(int fd, void* bytes, size_t count)"),
  };
}

/** Nanoseconds for one operation of a function that does `count` of them. */
export async function time(count, work) {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / count;
}

/** The head of the table. */
export const HEADER = [
  "| what | this library | compared with | ratio | aim |",
  "| --- | --- | --- | --- | --- |",
];

let header = false;

/**
 * Compares two sides and prints a row: the least and the median of each, and the ratio of both. The sides take turns block by
 * block, in changing order, so that both see the same machine. A block is best a few milliseconds long: then some of them are
 * not interrupted, on a busy machine too.
 *
 * @param {string} name what is compared
 * @param {() => number | Promise<number>} ours a block: nanoseconds for one operation
 * @param {() => number | Promise<number>} theirs the same
 * @param {{ rival?: string, blocks?: number, aim?: number }} [options] who theirs is; blocks of each side (BLOCKS in the
 *   environment is for all); the ratio to reach
 */
export async function compare(name, ours, theirs, { rival = "C", blocks = 100, aim } = {}) {
  const sides = [
    { block: ours, samples: [] },
    { block: theirs, samples: [] },
  ];
  // V8 compiles the code of both sides before it is measured, as in a program that goes on for a while.
  const start = performance.now();
  do for (const { block } of sides) await block();
  while (performance.now() - start < WARM_UP_MS);
  const count = Number(process.env.BLOCKS ?? blocks);
  for (let i = 0; i < count; i++) {
    for (const { block, samples } of sides) samples.push(await block());
    sides.reverse();
  }
  if (count % 2) sides.reverse();
  const [a, b] = sides.map(({ samples }) => samples);
  printRow(name, a, b, { rival, aim });
}

/**
 * Prints a row: the least and the median of each side, and the ratio of both.
 *
 * @param {string} name what is compared
 * @param {readonly number[]} ours nanoseconds for one operation, block by block
 * @param {readonly number[]} theirs the same
 * @param {{ rival: string, aim?: number }} options who theirs is; the ratio to reach
 */
export function printRow(name, ours, theirs, { rival, aim }) {
  const [a, b] = [ours, theirs].map((samples) => ({ least: Math.min(...samples), median: median(samples) }));
  if (!header) {
    console.log(HEADER.join("\n"));
    header = true;
  }
  const figures = ({ least, median }) => `${format(least)} (${format(median)})`;
  const ratio = (which) => (a[which] / b[which]).toFixed(2);
  console.log(
    `| ${name} | ${figures(a)} | ${rival}: ${figures(b)} | ${ratio("least")} (${ratio("median")}) | ${aim ?? ""} |`,
  );
}

/** For how long blocks are not counted. */
const WARM_UP_MS = 2000;

/** The one in the middle. */
export function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** @param {number} nanoseconds */
function format(nanoseconds) {
  const [value, unit] =
    nanoseconds >= 1e7
      ? [nanoseconds / 1e6, "ms"]
      : nanoseconds >= 1e4
        ? [nanoseconds / 1e3, "us"]
        : [nanoseconds, "ns"];
  return `${value.toPrecision(value >= 100 ? Math.ceil(Math.log10(value)) : 3)} ${unit}`;
}
