// Does the same things for long, and looks at what stays: memory, pinned pages, descriptors.
//
//   node test/kernel/boot.js -- node --expose-gc --max-semi-space-size=1 test/kernel/soak.js [SECONDS]     60 by default
//
// The young part of V8's heap is kept small, for V8 makes it larger as it sees fit, which would look like a leak.
// Ends with exit code 1 where something grows.

import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { Container, Iommufd } from "../../dist/index.js";

const seconds = Number(process.argv[2] ?? 60);
const [FIRST, SECOND] = ["0000:00:01.0", "0000:00:02.0"];
const PAGE = 4096n;
/** How much more memory there may be at the end, in MiB: what malloc keeps is not always the same. */
const SLACK = 12;

const rounds = { "map, unmap": 0, "open, close": 0, "bind, attach, close": 0, "container: apply, close": 0 };

/** @returns {import("../../dist/index.js").MemorySection} */
const section = (index) => ({
  start: BigInt(index) * 64n * PAGE,
  size: 64n * PAGE,
  region: "ram",
  offsetInRegion: 0n,
  type: "ram",
  readonly: false,
});
const sections = [0, 1, 2, 3].map(section);

async function once(iommufd, ioas, memory) {
  for (let index = 0; index < 20; index++) {
    const iova = await ioas.map(memory);
    await ioas.unmap(iova, memory.length);
    ioas.unmapSync(ioas.mapSync(memory), memory.length);
    rounds["map, unmap"] += 2;
  }
  const own = Iommufd.open({ backend: "kernel" });
  own.allocIoas();
  const more = own.allocMemory(16n * PAGE);
  more.prefaultSync();
  more.close();
  own.close();
  rounds["open, close"]++;
  const device = iommufd.openDevice(FIRST);
  device.hwInfo();
  device.attachSync(ioas);
  device.close();
  rounds["bind, attach, close"]++;
  const devices = [FIRST, SECOND].map((bdf) => iommufd.openDevice(bdf));
  const container = new Container(iommufd, { nesting: true });
  for (const each of devices) await container.addDevice(each);
  await container.apply(sections, () => memory);
  await container.close();
  for (const each of devices) each.close();
  rounds["container: apply, close"]++;
}

function sample(started) {
  globalThis.gc?.();
  const { heapUsed } = process.memoryUsage();
  const megabytes = (bytes) => Math.round((bytes / 2 ** 20) * 10) / 10;
  const status = readFileSync("/proc/self/status", "utf8");
  const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)[1]);
  return {
    seconds: Math.round((performance.now() - started) / 1000),
    "resident (MiB)": megabytes(kilobytes("RssAnon") * 1024),
    "used of V8's heap (MiB)": megabytes(heapUsed),
    "pinned (KiB)": kilobytes("VmPin"),
    descriptors: readdirSync("/proc/self/fd").length,
    "map, unmap": rounds["map, unmap"],
    others: rounds["open, close"] + rounds["bind, attach, close"] + rounds["container: apply, close"],
  };
}

const iommufd = Iommufd.open({ backend: "kernel" });
const ioas = iommufd.allocIoas();
const memory = iommufd.allocMemory(64n * PAGE);
const started = performance.now();
const samples = [];
for (let next = 0; next <= 6; ) {
  await once(iommufd, ioas, memory);
  if (performance.now() - started < (next * seconds * 1000) / 6) continue;
  samples.push(sample(started));
  next++;
}
console.table(samples);

// The first two are of warming up.
const [, , settled, ...later] = samples;
const last = later.at(-1);
const grown = ["pinned (KiB)", "descriptors"].filter((name) => last[name] !== settled[name]);
for (const name of ["resident (MiB)", "used of V8's heap (MiB)"])
  if (last[name] - settled[name] > SLACK) grown.push(name);
console.log(grown.length === 0 ? "nothing grows" : `grows: ${grown.join(", ")}`);
process.exitCode = grown.length === 0 ? 0 : 1;
iommufd.close();
